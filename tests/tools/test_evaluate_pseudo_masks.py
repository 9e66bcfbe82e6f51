import importlib.util
import json
from pathlib import Path

import pytest
from in_process import call

TOOL = Path(__file__).parents[2] / 'tools' / 'evaluate_pseudo_masks.py'


def load_tool():
    """The tool as a module: what needs no process of its own is quicker without one."""
    spec = importlib.util.spec_from_file_location('evaluate_pseudo_masks', TOOL)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def polygon(x, y, w, h):
    return [[x, y, x + w, y, x + w, y + h, x, y + h]]


def dataset(masks):
    return {
        'images': [{'id': 1, 'file_name': 'a.jpg', 'height': 60, 'width': 80}],
        'annotations': [
            {'id': i, 'image_id': 1, 'category_id': 44, 'bbox': [0, 0, 40, 40], **mask}
            for i, mask in enumerate(masks)
        ],
        'categories': [{'id': 44, 'name': 'Kätzchen'}],
    }


@pytest.fixture
def folder(tmp_path):
    truth = {'segmentation': polygon(0, 0, 40, 20)}
    gt = [truth, truth, truth, {'segmentation': []}]
    # IoU 1, 1/2 and, for want of a mask, 0.
    pred = [
        {**truth, 'mal_quality': 0.9},
        {'segmentation': polygon(0, 0, 20, 20), 'mal_quality': 0.3},
        {},
    ]
    (tmp_path / 'gt.json').write_text(json.dumps(dataset(gt)))
    (tmp_path / 'pred.json').write_text(json.dumps(dataset(pred)))
    return tmp_path


def test_the_tool_prints_a_table_and_writes_the_numbers(folder):
    done = call(
        'evaluate', 'pred.json', 'gt.json', '--out', 'metrics.json', '--per-class', cwd=folder
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    start = next(i for i, line in enumerate(lines) if 'class-mean' in line)
    # Boundaries of 2 pixels (diagonal 100): 20 x 40 has 800 - 16 * 36, 20 x 20 has 400 - 16 * 16,
    # and 2 * 2 * 20 + 2 * 16 of them are common. (1 + 112 / 256 + 0) / 3.
    assert lines[start + 2].split() == [
        *('masks', '3', '0.500', '0.500', '-', '0.500', '-', '0.333', '0.479')
    ]
    assert lines[start + 3].split()[:5] == ['box', 'fill', '3', '0.500', '0.500']
    assert any(line.split()[:4] == ['Kätzchen', '44', '3', '0.500'] for line in lines)
    assert '1 without a predicted mask count as IoU 0' in done.stdout
    assert 'annotation 3: has no mask' in done.stdout

    metrics = json.loads((folder / 'metrics.json').read_text())
    assert metrics['masks']['mean_iou'] == pytest.approx(0.5)
    assert metrics['masks']['boundary_iou'] == pytest.approx((1 + 112 / 256) / 3)
    assert metrics['box_fill']['mean_iou'] == pytest.approx(0.5)
    assert metrics['quality_spearman'] == pytest.approx(1)
    assert metrics['missing_ids'] == [2]
    assert sorted(path.name for path in folder.iterdir()) == [
        'gt.json',
        'metrics.json',
        'pred.json',
    ]


def test_help_explains_the_exit_status(capsys):
    with pytest.raises(SystemExit) as caught:
        load_tool().main(['--help'])
    assert caught.value.code == 0
    text = capsys.readouterr().out
    assert 'exit status' in text
    assert 'examples' in text


@pytest.fixture
def refused(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    tool = load_tool()

    def run(*arguments):
        capsys.readouterr()
        assert tool.main(arguments) == 1
        out, err = capsys.readouterr()
        assert out == ''
        assert err.splitlines()[-1].startswith('evaluate_pseudo_masks: ')
        return err

    return run


def test_files_that_cannot_be_used_are_refused(folder, refused):
    assert 'nowhere.json: no such annotation file' in refused('nowhere.json', 'gt.json')
    (folder / 'cut.json').write_text((folder / 'gt.json').read_text()[:-30])
    assert 'looks truncated' in refused('pred.json', 'cut.json')


def test_ground_truth_without_a_single_mask_is_refused(folder, refused):
    (folder / 'boxes.json').write_text(json.dumps(dataset([{}, {}])))
    message = refused('pred.json', 'boxes.json')
    assert 'none of its 2 annotations has a mask' in message
    (folder / 'empty.json').write_text(json.dumps(dataset([])))
    assert 'has no annotations' in refused('pred.json', 'empty.json')


def test_an_output_folder_that_does_not_exist_is_refused_before_the_work(refused):
    message = refused('pred.json', 'gt.json', '--out', 'no/metrics.json')
    assert 'folder no does not exist; create it first' in message
