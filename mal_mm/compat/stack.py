"""Which distribution of mmengine, mmcv, mmdet and mmpretrain is here, and does it suffice?

Two distributions share these import names: OpenMMLab's (`mmcv`, ...) and the maintained
`onedl-*`. mal_mm runs on either, and on no mixture, since they overwrite each other's files.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import io
import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from ..checkpoints.safe_globals import allow_runner_checkpoints
from .config_bases import register_config_package
from .torchvision_ops import declare_torchvision_ops
from .when_imported import after, around, before


@dataclass(frozen=True)
class Requirement:
    """One distribution: its import name, the oldest version that serves, the one tested."""

    module: str
    distribution: str
    minimum: str
    tested: str


# `tested` repeats requirements/{onedl,openmmlab}.txt; a test compares them.
STACKS = {
    'onedl': (
        Requirement('mmengine', 'onedl-mmengine', '0.10', '0.10.12'),
        Requirement('mmcv', 'onedl-mmcv', '2.3', '2.3.6'),
        Requirement('mmdet', 'onedl-mmdetection', '3.5', '3.5.1'),
        Requirement('mmpretrain', 'onedl-mmpretrain', '1.3', '1.3.6'),
    ),
    'openmmlab': (
        Requirement('mmengine', 'mmengine', '0.10', '0.10.7'),
        Requirement('mmcv', 'mmcv', '2.0', '2.1.0'),
        Requirement('mmdet', 'mmdet', '3.3', '3.3.0'),
        Requirement('mmpretrain', 'mmpretrain', '1.2', '1.2.0'),
    ),
}
TORCH = Requirement('torch', 'torch', '2.1', '2.13.0')
UNKNOWN_VERSION = ''  # importable, but installed without metadata (a source tree on PYTHONPATH)

NEW_ENVIRONMENT = '`bash tools/setup_env.sh` in a checkout of mal_mm makes an environment'
INSTALL_ALL = (
    '`pip install torch "setuptools<81" wheel ninja` and then '
    '`MMCV_WITH_OPS=1 pip install --no-build-isolation "mal-mm[{stack}]"`'
)


def installed_versions() -> dict[str, str]:
    """Ask the environment, without importing anything.

    Returns:
        Version by distribution name, for those of the stacks and torch that are installed; ''
        where a module can be imported but tells no version.
    """
    versions = {}
    requirements = [TORCH, *STACKS['onedl'], *STACKS['openmmlab']]
    for distribution in [each.distribution for each in requirements] + ['mmcv-lite']:
        try:
            versions[distribution] = metadata.version(distribution)
        except metadata.PackageNotFoundError:
            continue
    for requirement in [TORCH, *STACKS['openmmlab']]:
        known = any(
            each.distribution in versions
            for each in requirements
            if each.module == requirement.module
        )
        if not known and importlib.util.find_spec(requirement.module) is not None:
            versions[requirement.distribution] = UNKNOWN_VERSION
    return versions


def check_stack(versions: Mapping[str, str]) -> list[str]:
    """Find what keeps mal_mm from running on these distributions.

    Args:
        versions: version by distribution name, as from `installed_versions`.

    Returns:
        One sentence per problem, each with the package, the version found, the version wanted
        and the command that fixes it. Empty when all is well.
    """
    if not versions.keys() - {'torch', 'mmcv-lite'}:
        return [
            'none of mmengine, mmcv, mmdet and mmpretrain is installed; '
            f'{NEW_ENVIRONMENT}; in one of your own, {INSTALL_ALL.format(stack="onedl")}'
        ]
    present = {
        name: [each for each in stack if each.distribution in versions]
        for name, stack in STACKS.items()
    }
    if present['onedl'] and present['openmmlab']:
        mixed = [each.distribution for stack in present.values() for each in stack]
        found = ', '.join(f'{name} {versions[name]}'.strip() for name in mixed)
        return [
            f'two distributions that overwrite each other are mixed here ({found}), '
            'wanted is one; '
            f'{NEW_ENVIRONMENT} beside this one; to fix this one, '
            f'`pip uninstall -y {" ".join(mixed)}` and then '
            f'{INSTALL_ALL.format(stack="onedl")} (or openmmlab in the place of onedl)'
        ]
    stack = 'onedl' if present['onedl'] else 'openmmlab'
    problems = []
    if 'mmcv-lite' in versions:
        problems.append(
            f'mmcv-lite {versions["mmcv-lite"]} has no compiled ops and shares its import name '
            'with mmcv, wanted is mmcv with ops; `pip uninstall -y mmcv-lite`, then '
            f'`{_install_command(STACKS[stack][1])}`'
        )
    for requirement in (TORCH, *STACKS[stack]):
        name, wanted = requirement.distribution, f'{requirement.minimum} or newer'
        if name not in versions:
            problems.append(
                f'{name} is not installed, wanted is {wanted}; `{_install_command(requirement)}`'
            )
        elif _release(versions[name]) < _release(requirement.minimum):
            problems.append(
                f'{name} {versions[name]} is too old, wanted is {wanted}; '
                f'`{_install_command(requirement)}`'
            )
    return problems


def check_mmcv_ops(versions: Mapping[str, str], by_import: bool) -> list[str]:
    """Like `check_stack`, for mmcv's compiled ops.

    Args:
        versions: as for `check_stack`.
        by_import: import torch and mmcv (not mmcv.ops) for it; else only look for the file.
    """
    if by_import:
        try:
            importlib.import_module('torch')  # its shared libraries must be loaded before mmcv's
            importlib.import_module('mmcv._ext')
        except ImportError as error:
            return [_without_ops(versions, error)]
        return []
    spec = importlib.util.find_spec('mmcv')
    places = (spec.submodule_search_locations if spec else None) or ()
    if any(Path(place).glob('_ext.*') for place in places):
        return []
    return [_without_ops(versions, 'there is no mmcv/_ext')]


def _without_ops(versions: Mapping[str, str], why: object) -> str:
    requirement = STACKS[_stack_of(versions)][1]
    name = requirement.distribution
    return (
        f'{name} {versions.get(name, "")} has no working compiled ops ({why}), wanted is mmcv '
        f'compiled for the torch of this environment; `{_install_command(requirement)}`'
    )


def prepare_stack() -> None:
    """Look after the software under mal_mm, without importing it.

    What is missing, too old or mixed is told now. The workarounds, and the places of our modules
    in MMDetection's registries, are put in place when the modules that they concern are imported,
    by whomever: at once, if they have been.

    Raises:
        ImportError: something is missing, too old, mixed or built without ops. Where only an
            import shows it, that import of mmcv, mmdet or mmpretrain raises it.
    """
    versions = installed_versions()
    problems = check_stack(versions) or check_mmcv_ops(versions, by_import=False)
    if problems:
        raise ImportError(_message(problems))
    # now, since they import what an incomplete environment lacks
    from .config_text import write_configs_literally
    from .lvis_numpy import prefer_more_ap, repair_lvis
    from .mmpretrain_multimodal import leave_out_multimodal
    from .panoptic_api import provide_panopticapi
    from .safe_checkpoints import load_checkpoints_safely

    if 'mmengine' in versions and importlib.util.find_spec('pkg_resources') is None:
        warnings.warn(
            "mal_mm: configs with `_base_ = 'mmdet::...'` will fail, since mmengine "
            f'{versions["mmengine"]} finds packages through pkg_resources, which setuptools has '
            'no more from 81 on; to fix it: `pip install "setuptools<81"`',
            stacklevel=2,
        )
    provide_panopticapi()
    before('torchvision', declare_torchvision_ops)
    before('mmpretrain', leave_out_multimodal)
    after('torch', allow_runner_checkpoints)
    after('mmengine.config', register_config_package)
    after('mmengine.config', write_configs_literally)
    after('mmengine.runner.checkpoint', load_checkpoints_safely)
    after('mmengine.hooks.checkpoint_hook', prefer_more_ap)
    after('lvis', repair_lvis)
    after('mmcv', functools.partial(_refuse_mmcv_without_ops, versions))
    for name in ('mmdet', 'mmpretrain'):
        around(name, functools.partial(_with_advice, versions))
    around('mmdet.datasets', without_adverts)
    after('mmdet.registry', functools.partial(importlib.import_module, 'mal_mm.registry'))


def _refuse_mmcv_without_ops(versions: Mapping[str, str]) -> None:
    problems = check_mmcv_ops(versions, by_import=True)
    if problems:
        raise ImportError(_message(problems))


@contextmanager
def _with_advice(versions: Mapping[str, str]) -> Iterator[None]:
    """mmdet and mmpretrain have bounds of their own on each other's versions: how to heed them."""
    try:
        yield
    except AssertionError as error:
        commands = '` and `'.join(_install_command(each) for each in STACKS[_stack_of(versions)])
        raise ImportError(_message([f'{error}; tested together: `{commands}`'])) from error


@contextmanager
def without_adverts() -> Iterator[None]:
    """Take out what mmdet of onedl prints where its own data service is not installed."""
    said = io.StringIO()
    try:
        with redirect_stdout(said):
            yield
    finally:
        for line in said.getvalue().splitlines():
            if not line.startswith('Could not import OneDL'):
                print(line)


def _stack_of(versions: Mapping[str, str]) -> str:
    return 'onedl' if 'onedl-mmcv' in versions else 'openmmlab'


def _install_command(requirement: Requirement) -> str:
    pinned = f'{requirement.distribution}=={requirement.tested}'
    if requirement.module != 'mmcv':
        return f'pip install {pinned}'
    # Two traps: in an isolated build there is no torch, so mmcv comes without its ops, and pip
    # caches such a wheel; the cache's key ignores torch's version as well.
    return (
        'MMCV_WITH_OPS=1 pip install --no-build-isolation --no-cache-dir --force-reinstall '
        f'--no-deps {pinned}'
    )


def _message(problems: list[str]) -> str:
    return 'mal_mm cannot run in this environment:\n' + '\n'.join(f'- {each}' for each in problems)


def _release(version: str) -> tuple[float, ...]:
    """'2.0.0rc4+cpu' -> (2, 0, 0); an unknown version counts as new enough."""
    match = re.match(r'v?(\d+(?:\.\d+)*)', version)
    return tuple(int(part) for part in match[1].split('.')) if match else (float('inf'),)
