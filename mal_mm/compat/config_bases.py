"""`_base_ = 'mal_mm::mal/vit_mae_base.py'` in a config."""

from __future__ import annotations

from pathlib import Path

PACKAGE_ROOT = Path(__file__).resolve().parents[1]


def register_config_package() -> None:
    """Tell mmengine that `mal_mm::` names this package's configs.

    mmengine keeps a fixed table of packages and asserts a name before it would import anything,
    so `mal_mm` has to be imported before a config that says `mal_mm::` is read. Our tools do;
    elsewhere write `_base_ = __import__('mal_mm').config_path('mal/vit_mae_base.py')`.
    """
    from mmengine.config.utils import MODULE2PACKAGE

    # The name of a module, not of the distribution: mmengine then takes the folder of that
    # module's file. For a distribution, 0.10.7 takes pkg_resources' location of it, which is
    # site-packages and thus wrong for an editable install.
    MODULE2PACKAGE['mal_mm'] = 'mal_mm.registry'


def config_root() -> Path:
    """The folder of mal_mm's configs: the installed package's, or the checkout's."""
    for root in (PACKAGE_ROOT / '.mim' / 'configs', PACKAGE_ROOT.parent / 'configs'):
        if root.is_dir():
            return root
    raise FileNotFoundError(
        f'mal_mm in {PACKAGE_ROOT} came without its configs; install it with pip'
    )


def config_path(name: str) -> str:
    """Find a config of mal_mm.

    Args:
        name: path below configs/, such as 'mal/vit_mae_base.py'.

    Returns:
        Absolute path, good for Config.fromfile, MaskLabeler and `_base_`.

    Raises:
        FileNotFoundError: there is no such config; the message lists those there are.
    """
    root = config_root()
    path = root / name
    if not path.is_file():
        known = sorted(each.relative_to(root).as_posix() for each in root.glob('*/*.py'))
        raise FileNotFoundError(f'mal_mm has no config {name!r}; it has: {", ".join(known)}')
    return str(path)


def find_config(name: str | Path) -> str:
    """Path of a config that is named by its path or as 'mal_mm::mal/vit_mae_base.py'.

    Raises:
        FileNotFoundError: there is no such config.
    """
    package, separator, own = str(name).partition('mal_mm::')
    if separator and not package:
        return config_path(own)
    if not Path(name).is_file():
        raise FileNotFoundError(
            f'config {str(name)!r} does not exist (from {Path.cwd()}); '
            "mal_mm's own are named as in mal_mm::mal/vit_mae_base.py"
        )
    return str(name)
