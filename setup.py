"""Build hooks; the metadata lives in pyproject.toml.

MIM, `_base_ = 'mal_mm::...'` and `mim train mal_mm` look for configs and tools in
`mal_mm/.mim`. A wheel gets copies there, an editable install symbolic links.
"""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
MIM_ENTRIES = ('configs', 'tools', 'model-index.yml')


class BuildWithMim(build_py):
    """build_py that also fills `mal_mm/.mim`."""

    def run(self) -> None:
        super().run()
        if self.editable_mode:
            self.link_mim_entries()
            self.point_openmim_here()
            return
        target = Path(self.build_lib, 'mal_mm', '.mim')
        shutil.rmtree(target, ignore_errors=True)  # left over from an earlier build
        target.mkdir(parents=True)
        for name in MIM_ENTRIES:
            source = ROOT / name
            if source.is_dir():
                shutil.copytree(
                    source, target / name, ignore=shutil.ignore_patterns('__pycache__')
                )
            else:
                shutil.copy2(source, target / name)

    def link_mim_entries(self) -> None:
        for name in MIM_ENTRIES:
            link = ROOT / 'mal_mm' / '.mim' / name
            # One that is right stays: several environments share the checkout.
            if link.is_symlink() and link.exists():
                continue
            link.parent.mkdir(exist_ok=True)
            link.unlink(missing_ok=True)
            link.symlink_to(Path('..', '..', name))

    def point_openmim_here(self) -> None:
        """Make openmim find the tools of an editable install.

        It takes pkg_resources' location of mal-mm, which is site-packages, and joins to it the
        first line of top_level.txt. An absolute path there wins the join.
        """
        wheel = Path(self.get_finalized_command('install').install_purelib)
        (dist_info,) = wheel.glob('*.dist-info')
        dist_info.joinpath('top_level.txt').write_text(f'{ROOT / "mal_mm"}\nmal_mm\n')


setup(cmdclass={'build_py': BuildWithMim})
