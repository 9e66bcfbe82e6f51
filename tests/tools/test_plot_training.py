import importlib.util
import json

import pytest
from PIL import Image


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The work dirs of two runs, in the current folder."""
    for name in ('one', 'two'):
        logs = tmp_path / name / '20260101_000000' / 'vis_data'
        logs.mkdir(parents=True)
        rows = [{'loss_mil': 1 / n, 'lr': 1e-3, 'iter': n, 'step': n} for n in range(1, 60)]
        (logs / 'scalars.json').write_text('\n'.join(json.dumps(row) for row in rows))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope='module')
def tool(repo_root):
    path = repo_root / 'tools' / 'analysis' / 'plot_training.py'
    spec = importlib.util.spec_from_file_location('plot_training', path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_picture_lies_in_the_first_work_dir(folder, tool, capsys):
    assert tool.main(['one', 'two']) == 0
    assert capsys.readouterr().out == 'one/training.png\n'
    with Image.open('one/training.png') as picture:
        assert (picture.format, picture.size) == ('PNG', (800, 300))


def test_each_key_makes_the_picture_higher(folder, tool, capsys):
    assert tool.main(['two', '--keys', 'lr', 'loss_mil', '--out', 'both.png']) == 0
    assert capsys.readouterr().out == 'both.png\n'
    with Image.open('both.png') as picture:
        assert picture.size == (800, 540)


@pytest.mark.parametrize(
    ('arguments', 'reason'),
    [
        (('one', 'three'), 'three: no scalars found'),
        (('one', '--keys', 'mal/mIoU'), 'no run has mal/mIoU; there are loss_mil, lr'),
        (('one', '--out', 'no/a.png'), 'folder no does not exist'),
    ],
)
def test_a_refusal_is_one_line(folder, tool, capsys, arguments, reason):
    assert tool.main(arguments) == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith('plot_training: ') and reason in last
