import os
import subprocess
import sys
from pathlib import Path

import pytest

from mal_mm.compat import check_stack, installed_versions, prepare_stack
from mal_mm.compat.stack import STACKS

GOOD = {
    stack: {'torch': '2.13.0+cpu', **{each.distribution: each.tested for each in requirements}}
    for stack, requirements in STACKS.items()
}
stacks = pytest.mark.parametrize('stack', list(STACKS))


@stacks
def test_the_tested_versions_have_no_problem(stack):
    assert check_stack(GOOD[stack]) == []


@stacks
def test_the_tested_versions_are_those_that_setup_env_installs(stack, repo_root):
    lines = (repo_root / 'requirements' / f'{stack}.txt').read_text().splitlines()
    for requirement in STACKS[stack]:
        assert f'{requirement.distribution}=={requirement.tested}' in lines


def test_this_environment_has_no_problem():
    versions = installed_versions()
    assert 'torch' in versions
    assert check_stack(versions) == []
    prepare_stack()


@stacks
@pytest.mark.parametrize('module', ['mmengine', 'mmcv', 'mmdet', 'mmpretrain'])
def test_a_missing_package_is_named_with_its_minimum_and_command(stack, module):
    requirement = next(each for each in STACKS[stack] if each.module == module)
    versions = {k: v for k, v in GOOD[stack].items() if k != requirement.distribution}
    (problem,) = check_stack(versions)
    assert problem.startswith(f'{requirement.distribution} is not installed')
    assert f'{requirement.minimum} or newer' in problem
    assert 'pip install' in problem
    assert f'{requirement.distribution}=={requirement.tested}`' in problem


@stacks
def test_a_package_that_is_too_old_is_named_with_both_versions(stack):
    name = STACKS[stack][2].distribution
    (problem,) = check_stack({**GOOD[stack], name: '2.28.2'})
    minimum = STACKS[stack][2].minimum
    assert f'{name} 2.28.2 is too old, wanted is {minimum} or newer; `pip install' in problem


def test_versions_are_compared_as_numbers():
    # as text, '0.9' > '0.10' and '0.10.2' < '0.9'
    assert check_stack({**GOOD['openmmlab'], 'mmengine': '0.9.1'})
    assert not check_stack({**GOOD['openmmlab'], 'mmengine': '0.10.2'})
    assert not check_stack({**GOOD['openmmlab'], 'mmcv': '2.0.0rc4+cu118'})


def test_a_module_that_tells_no_version_passes():
    assert check_stack({**GOOD['openmmlab'], 'mmdet': ''}) == []


def test_mmcv_is_fixed_without_build_isolation_and_without_the_cache():
    (problem,) = check_stack({k: v for k, v in GOOD['onedl'].items() if k != 'onedl-mmcv'})
    assert '--no-build-isolation --no-cache-dir' in problem


def test_mixed_distributions_are_all_named():
    (problem,) = check_stack({**GOOD['onedl'], 'mmcv': '2.1.0'})
    assert 'onedl-mmcv 2.3.6' in problem
    assert 'mmcv 2.1.0' in problem
    assert (
        'pip uninstall -y onedl-mmengine onedl-mmcv onedl-mmdetection onedl-mmpretrain mmcv'
        in (problem)
    )
    assert 'tools/setup_env.sh' in problem


def test_mmcv_lite_is_refused_for_its_lack_of_ops():
    (problem,) = check_stack({**GOOD['openmmlab'], 'mmcv-lite': '2.1.0'})
    assert problem.startswith('mmcv-lite 2.1.0 has no compiled ops')


def test_an_empty_environment_is_told_how_to_get_everything():
    (problem,) = check_stack({})
    assert 'bash tools/setup_env.sh' in problem
    assert 'pip install --no-build-isolation "mal-mm[onedl]"' in problem


def _import_in_bare_python(tmp_path: Path, repo_root: Path, *distributions: str) -> str:
    """Last lines of `import mal_mm` where only the named distributions (metadata alone) exist."""
    for each in distributions:
        name, version = each.split('==')
        info = tmp_path / f'{name.replace("-", "_")}-{version}.dist-info'
        info.mkdir()
        info.joinpath('METADATA').write_text(
            f'Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n'
        )
    package = tmp_path / 'mal_mm'  # nothing else of the checkout on the path
    package.symlink_to(repo_root / 'mal_mm')
    done = subprocess.run(
        [sys.executable, '-S', '-c', 'import mal_mm'],  # -S: without site-packages
        env={**os.environ, 'PYTHONPATH': str(tmp_path), 'PYTHONDONTWRITEBYTECODE': '1'},
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert done.returncode == 1
    return done.stderr[done.stderr.index('ImportError') :]


def test_import_in_an_empty_python_says_what_to_do(tmp_path, repo_root):
    message = _import_in_bare_python(tmp_path, repo_root)
    assert 'none of mmengine, mmcv, mmdet and mmpretrain is installed' in message


def test_import_names_what_the_metadata_show(tmp_path, repo_root):
    message = _import_in_bare_python(tmp_path, repo_root, 'mmcv==1.7.2', 'mmdet==2.28.2')
    assert 'mmcv 1.7.2 is too old' in message
    assert 'mmdet 2.28.2 is too old' in message
    assert 'mmpretrain is not installed' in message
    assert 'torch is not installed' in message
