import importlib.metadata
import json
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
import yaml

from mal_mm.version import __version__

SOURCES = (
    'LICENSE',
    'MANIFEST.in',
    'README.md',
    'configs',
    'mal_mm',
    'mal_mm_cli',
    'model-index.yml',
    'pyproject.toml',
    'requirements',
    'setup.py',
    'tools',
)
RESOLVE = """
import sys
import mal_mm
from mmengine.config import Config
cfg = Config.fromfile(sys.argv[1])
print(mal_mm.__file__, mal_mm.config_path('mal/vit_mae_base.py'), cfg.model.type, sep='|')
"""


def run(*command: object, **kwargs: object) -> str:
    done = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, **kwargs
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope='module')
def source_tree(repo_root, tmp_path_factory) -> Path:
    """A copy of the checkout, for builds write into their source."""
    tree = tmp_path_factory.mktemp('source')
    for name in SOURCES:
        source = repo_root / name
        if source.is_dir():
            shutil.copytree(
                source, tree / name, ignore=shutil.ignore_patterns('__pycache__', '.mim')
            )
        else:
            shutil.copy2(source, tree / name)
    return tree


@pytest.fixture(scope='module')
def sdist(source_tree) -> Path:
    build(source_tree, '--sdist')
    (path,) = (source_tree / 'dist').glob('*.tar.gz')
    return path


@pytest.fixture(scope='module')
def wheel(sdist, tmp_path_factory) -> Path:
    """Built from the sdist, which therefore lacks nothing that a wheel needs."""
    unpacked = tmp_path_factory.mktemp('sdist')
    with tarfile.open(sdist) as archive:
        archive.extractall(unpacked, filter='data')
    (tree,) = unpacked.iterdir()
    build(tree, '--wheel')
    (path,) = (tree / 'dist').glob('*.whl')
    return path


def build(tree: Path, kind: str) -> None:
    run(sys.executable, '-m', 'build', '--no-isolation', kind, tree, cwd=tree)


def files_below(root: Path, pattern: str = '*') -> set[str]:
    return {
        path.relative_to(root).as_posix()
        for path in root.rglob(pattern)
        if path.is_file() and '__pycache__' not in path.parts and '.mim' not in path.parts
    }


@pytest.mark.slow
def test_a_wheel_holds_modules_configs_tools_and_package_data(wheel, source_tree):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        modes = {info.filename: info.external_attr >> 16 for info in archive.infolist()}
    package = source_tree / 'mal_mm'
    # everything in the package is meant to be there: code, templates, data, py.typed
    expected = {f'mal_mm/{name}' for name in files_below(package)}
    expected |= {f'mal_mm_cli/{name}' for name in files_below(source_tree / 'mal_mm_cli')}
    for folder in ('configs', 'tools'):
        expected |= {f'mal_mm/.mim/{folder}/{name}' for name in files_below(source_tree / folder)}
    expected.add('mal_mm/.mim/model-index.yml')
    assert expected - names == set()
    assert all(name.startswith(('mal_mm/', 'mal_mm_cli/', 'mal_mm-')) for name in names)
    assert any(name.endswith('.dist-info/licenses/LICENSE') for name in names)
    assert modes['mal_mm/.mim/tools/dist_train.sh'] & 0o111


@pytest.mark.slow
def test_an_installed_wheel_resolves_mal_mm_bases_and_runs_its_commands(wheel, tmp_path):
    site = tmp_path / 'site'
    pip = (sys.executable, '-m', 'pip', 'install', '-q', '--no-deps', '--no-index')
    run(*pip, '--target', site, wheel)
    config = tmp_path / 'mine.py'
    config.write_text("_base_ = 'mal_mm::mal/vit_mae_base.py'\n")
    # PYTHONPATH comes before the editable install that the tests run in
    environment = {'PYTHONPATH': str(site), 'PATH': '/usr/bin:/bin'}
    out = run(sys.executable, '-c', RESOLVE, config, env=environment, cwd=tmp_path)
    module, found, model = out.splitlines()[-1].split('|')
    assert Path(module) == site / 'mal_mm' / '__init__.py'
    assert Path(found) == site / 'mal_mm' / '.mim' / 'configs' / 'mal' / 'vit_mae_base.py'
    assert model == 'MaskAutoLabeler'

    command = (sys.executable, site / 'bin' / 'mal-mm')
    assert run(*command, '--version', env=environment, cwd=tmp_path) == f'{__version__}\n'
    script = site / 'mal_mm/.mim/tools/train.py'
    help_text = run(sys.executable, script, '-h', env=environment, cwd=tmp_path)
    assert '--auto-scale-lr' in help_text
    assert '--gpus' not in help_text  # else `mim train` would pass it


@pytest.mark.slow
def test_the_version_is_the_same_everywhere(repo_root):
    cited = yaml.safe_load((repo_root / 'CITATION.cff').read_text())['version']
    changes = (repo_root / 'CHANGELOG.md').read_text()
    newest = re.search(r'^## (\S+)', changes, re.MULTILINE)[1]
    assert cited == newest == __version__


@pytest.fixture(scope='module')
def editable(repo_root) -> importlib.metadata.Distribution:
    # not the metadata beside setup.py, which is first where the tests run from the checkout
    for found in importlib.metadata.distributions(name='mal-mm'):
        direct_url = json.loads(found.read_text('direct_url.json') or '{}')
        if direct_url.get('dir_info', {}).get('editable'):
            assert direct_url['url'] == repo_root.as_uri()
            return found
    pytest.skip('mal_mm is not installed as an editable package here')


def test_an_editable_install_links_configs_and_tools(editable, repo_root):
    for name in ('configs', 'tools', 'model-index.yml'):
        assert (repo_root / 'mal_mm' / '.mim' / name).resolve() == repo_root / name


def test_an_editable_install_resolves_mal_mm_bases_from_anywhere(editable, repo_root, tmp_path):
    config = tmp_path / 'mine.py'
    config.write_text("_base_ = 'mal_mm::mal/vit_mae_base.py'\n")
    out = run(sys.executable, '-c', RESOLVE, config, cwd=tmp_path)
    module, found, model = out.splitlines()[-1].split('|')
    assert Path(module) == repo_root / 'mal_mm' / '__init__.py'
    assert Path(found).resolve() == repo_root / 'configs' / 'mal' / 'vit_mae_base.py'
    assert model == 'MaskAutoLabeler'


def test_openmim_finds_an_editable_install(editable, repo_root):
    # what openmim 0.3.9 joins: pkg_resources' location of the package, and this line
    first_line = editable.read_text('top_level.txt').splitlines()[0]
    assert Path(editable.locate_file(''), first_line) == repo_root / 'mal_mm'


def test_the_model_index_names_configs_that_exist(repo_root):
    index = yaml.safe_load((repo_root / 'model-index.yml').read_text())
    metafiles = {
        path.relative_to(repo_root).as_posix()
        for path in (repo_root / 'configs').rglob('metafile.yml')
    }
    assert set(index['Import']) == metafiles
    contents = [yaml.safe_load((repo_root / name).read_text()) for name in index['Import']]
    collections = {each['Name'] for meta in contents for each in meta.get('Collections', [])}
    models = [model for meta in contents for model in meta['Models']]
    assert len({model['Name'] for model in models}) == len(models)
    for model in models:
        assert (repo_root / model['Config']).is_file(), model['Config']
        assert Path(model['Config']).stem == model['Name']
        assert model['In Collection'] in collections


@pytest.mark.slow
def test_pre_commit_and_ci_run_the_same_ruff(repo_root):
    dev = (repo_root / 'requirements' / 'dev.txt').read_text()
    hooks = (repo_root / '.pre-commit-config.yaml').read_text()
    (pinned,) = re.findall(r'^ruff==(\S+)$', dev, flags=re.MULTILINE)
    assert set(re.findall(r'ruff==([\d.]+)', hooks)) == {pinned}
