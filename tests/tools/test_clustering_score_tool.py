import importlib.util
import json

import pytest
from in_process import call
from sharp_labeler import write_sharp_labeler

from mal_mm.apis import MaskLabeler
from mal_mm.reproduce.clustering_score import score_file
from mal_mm.samples import make_shapes


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp('clustering')
    make_shapes(root, num_images=1, num_unseen=0, size=64)
    write_sharp_labeler(root)
    return root


@pytest.fixture
def tool(repo_root, folder, monkeypatch):
    """The tool as a module, in the folder: it is quicker than a process of its own."""
    path = repo_root / 'tools' / 'clustering_score.py'
    spec = importlib.util.spec_from_file_location('clustering_score', path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.chdir(folder)
    return module


DATA = ('--ann', 'train_gt.json', '--img-root', '.')


def test_the_tool_prints_the_score_and_writes_the_numbers(folder):
    arguments = ('labeler.py', *DATA, '--out', 'score.json')
    done = call('reproduce clustering', *arguments, cwd=folder)
    assert done.returncode == 0, done.stderr
    result = json.loads((folder / 'score.json').read_text())
    assert 0 < result['clustering_score'] <= 4
    assert (result['config'], result['checkpoint']) == ('labeler.py', None)
    annotations = json.loads((folder / 'train_gt.json').read_text())['annotations']
    assert result['scored'] + result['one_class'] == len(annotations)
    assert f'clustering score {result["clustering_score"]:.4f}' in done.stdout


def test_the_weights_of_a_checkpoint_are_scored(folder, tool, capsys):
    assert tool.main(['labeler.py', 'labeler.pth', *DATA, '--out', 'trained.json']) == 0
    trained = json.loads((folder / 'trained.json').read_text())
    labeler = MaskLabeler('labeler.py', 'labeler.pth')
    data = json.loads((folder / 'train_gt.json').read_text())
    expected = score_file(labeler.engine, data, folder)
    assert trained['clustering_score'] == pytest.approx(expected['clustering_score'])
    assert 'over' in capsys.readouterr().out


@pytest.mark.parametrize(
    ('arguments', 'reason'),
    [
        (('labeler.py', 'gone.pth', *DATA), 'gone.pth: no such checkpoint file'),
        (('labeler.py', 'labeler.pth', *DATA[:2], '--img-root', 'gone'), 'gone is no folder'),
        (('labeler.py', 'labeler.pth', '--ann', 'train.json', *DATA[2:]), 'has no mask'),
    ],
)
def test_a_refusal_is_one_line(tool, capsys, arguments, reason):
    assert tool.main(arguments) == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith('clustering_score: ') and reason in last
