import contextlib
import importlib.util
import io
import json
import sys
from pathlib import Path

import pytest
import torch
from mmdet.registry import MODELS
from mmengine.config import Config
from PIL import Image
from pycocotools import mask as mask_utils
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from sharp_labeler import blotches
from tiny_labeler import model_config

TOOL = Path(__file__).parents[2] / 'tools' / 'evaluate_detector_boxes.py'
HEIGHT, WIDTH = 240, 320
WHOLE, HALF = [20, 20, 100, 100], [150, 40, 100, 160]


def polygon(x, y, w, h):
    return [[x, y, x + w, y, x + w, y + h, x, y + h]]


def write(path, content):
    path.write_text(json.dumps(content))
    return path


def write_filling_labeler(folder):
    """A labeler that marks the whole of every box: all its logits are 4 * 5 * 5."""
    config = model_config(test_cfg={'crop_size': 128, 'mask_threshold': 0.5})
    model = MODELS.build(config)
    with torch.no_grad():
        for network in (model.student, model.teacher):
            for name, parameter in network.decoder.named_parameters():
                parameter.fill_(5 if name.endswith('bias') else 0)
    torch.save({'state_dict': model.state_dict()}, folder / 'labeler.pth')
    imports = {'imports': ['mal_mm'], 'allow_failed_imports': False}
    Config({'custom_imports': imports, 'default_scope': 'mmdet', 'model': config}).dump(
        folder / 'labeler.py'
    )


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """Two human masks: one fills its box, of the other only the upper 62.5 %."""
    folder = tmp_path_factory.mktemp('detector_boxes')
    write_filling_labeler(folder)
    (folder / 'images').mkdir()
    Image.fromarray(blotches(HEIGHT, WIDTH)).save(folder / 'images' / 'a.png')
    size = {'width': WIDTH, 'height': HEIGHT}
    masks = [(WHOLE, WHOLE), (HALF, [*HALF[:3], 100])]
    gt = {
        'images': [
            {'id': 1, 'file_name': 'a.png', **size},
            {'id': 2, 'file_name': 'missing.png', **size},
        ],
        'annotations': [
            {'id': i, 'image_id': 1, 'category_id': 44, 'bbox': box, 'iscrowd': 0,
             'segmentation': polygon(*mask), 'area': mask[2] * mask[3]}
            for i, (box, mask) in enumerate(masks)
        ],
        'categories': [{'id': 44, 'name': 'cat'}],
    }  # fmt: skip
    write(folder / 'gt.json', gt)
    return folder


def detection(bbox, score, image_id=1):
    return {'image_id': image_id, 'category_id': 44, 'bbox': bbox, 'score': score}


FOUND = [detection(HALF, 0.5), detection(WHOLE, 0.75)]


@pytest.fixture
def call(folder, tmp_path, monkeypatch, capsys):
    """call(detections, *arguments) -> exit status, stdout, stderr."""
    spec = importlib.util.spec_from_file_location('evaluate_detector_boxes', TOOL)
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)

    def run(detections, /, *arguments, **changes):
        paths = {
            'config': folder / 'labeler.py',
            'checkpoint': folder / 'labeler.pth',
            'detections': write(tmp_path / 'found.json', detections),
            'gt': folder / 'gt.json',
            'img-root': folder / 'images',
        } | changes
        command = [paths.pop('config'), paths.pop('checkpoint'), '--device', 'cpu', *arguments]
        command += [f'--{key}={value}' for key, value in paths.items()]
        monkeypatch.setattr(sys, 'argv', ['evaluate_detector_boxes.py', *map(str, command)])
        status = tool.main()
        return status, *capsys.readouterr()

    return run


def test_boxes_of_the_truth_have_box_ap_one_and_the_mask_ap_of_what_fills_them(call, tmp_path):
    # Filling its box, the first mask has IoU above 0.95. The second has 0.625, enough for 0.5,
    # 0.55 and 0.6; at the other seven thresholds recall stops at 1/2: 51 of 101 recall levels.
    status, stdout, stderr = call(
        FOUND, '--per-class', '--out', tmp_path / 'm.json', '--results-out', tmp_path / 'r.json'
    )
    assert status == 0, stderr
    metrics = json.loads((tmp_path / 'm.json').read_text())
    expected = (3 + 7 * 51 / 101) / 10
    assert metrics['bbox']['AP'] == pytest.approx(1)
    assert metrics['segm']['AP'] == pytest.approx(expected)
    assert (metrics['segm']['AP50'], metrics['segm']['AP75']) == pytest.approx((1, 51 / 101))
    assert metrics['segm']['per_class'] == [
        {'id': 44, 'name': 'cat', 'AP': pytest.approx(expected)}
    ]
    assert metrics['counts'] == {'detections': 2, 'labelled': 2, 'empty_masks': 0}
    assert metrics['skipped'] == []
    lines = [line.split() for line in stdout.splitlines()]
    assert ['bbox', '100.0', '100.0', '100.0', '-', '-', '100.0'] in lines
    assert ['segm', '65.3', '100.0', '50.5', '-', '-', '65.3'] in lines
    assert ['cat', '44', '100.0', '65.3'] in lines


def test_the_result_file_gives_pycocotools_the_same_ap(call, folder, tmp_path):
    call(FOUND, '--results-out', tmp_path / 'r.json', '--out', tmp_path / 'm.json')
    results = json.loads((tmp_path / 'r.json').read_text())
    for result, found, box in zip(results, FOUND, (HALF, WHOLE), strict=True):
        assert list(result) == ['image_id', 'category_id', 'score', 'segmentation']
        assert result['score'] == found['score']
        x, y, w, h = mask_utils.toBbox(result['segmentation'])
        assert [x, y, x + w, y + h] == pytest.approx(
            [*box[:2], box[0] + box[2], box[1] + box[3]], abs=2
        )
    with contextlib.redirect_stdout(io.StringIO()):
        # one annotation has id 0, which pycocotools does not take for a match
        gt = json.loads((folder / 'gt.json').read_text())
        for annotation in gt['annotations']:
            annotation['id'] += 1
        truth = COCO(write(tmp_path / 'gt.json', gt))
        evaluator = COCOeval(truth, truth.loadRes(results), 'segm')
        evaluator.evaluate()
        evaluator.accumulate()
        evaluator.summarize()
    metrics = json.loads((tmp_path / 'm.json').read_text())
    assert metrics['segm']['AP'] == pytest.approx(evaluator.stats[0])


def test_boxes_that_cannot_be_labelled_are_listed_with_status_3(call, tmp_path):
    nowhere = [detection([400, 10, 9, 9], 0.9), detection(WHOLE, 0.9, image_id=2)]
    found = [nowhere[0], FOUND[0], nowhere[1], FOUND[1]]
    status, stdout, stderr = call(
        found, '--out', tmp_path / 'm.json', '--results-out', tmp_path / 'r.json'
    )
    assert status == 3
    assert '2 boxes could not be labelled' in stderr
    assert 'lies wholly outside its 320 x 240 image' in stderr
    assert 'missing.png: no such image' in stderr
    assert '2 boxes labelled' in stdout
    metrics = json.loads((tmp_path / 'm.json').read_text())
    assert [skip['detection'] for skip in metrics['skipped']] == [0, 2]
    assert metrics['bbox']['AP'] == pytest.approx(1)
    scores = [result['score'] for result in json.loads((tmp_path / 'r.json').read_text())]
    assert scores == [0.5, 0.75]


def test_a_detector_that_found_nothing_has_ap_zero(call):
    status, stdout, _ = call([])
    assert status == 0
    lines = [line.split() for line in stdout.splitlines()]
    assert ['segm', '0.0', '0.0', '0.0', '-', '-', '0.0'] in lines


@pytest.mark.parametrize(
    ('changes', 'names', 'says'),
    [
        ({'gt': 'none.json'}, 'none.json', 'no such annotation file'),
        ({'detections': 'none.json'}, 'none.json', 'no such annotation file'),
        ({'checkpoint': 'none.pth'}, 'none.pth', 'no such checkpoint file'),
        ({'config': 'none.py'}, 'none.py', ''),
        ({'img-root': 'none'}, '--img-root', 'is no folder'),
        ({'out': 'none/m.json'}, '--out', 'does not exist'),
        ({'results-out': '.'}, '--results-out', 'is a folder; give the name of a file'),
        ({'threads': 0}, '--threads', 'must be at least 1'),
        ({'batch-size': 0}, '`batch_size`', 'must be at least 1'),
    ],
)
def test_what_cannot_work_is_refused_in_one_line(
    call, tmp_path, monkeypatch, changes, names, says
):
    monkeypatch.chdir(tmp_path)
    status, _, stderr = call(FOUND, **changes)
    assert status == 1
    (line,) = [line for line in stderr.splitlines() if line.startswith('evaluate_detector_boxes:')]
    assert names in line
    assert says in line
    assert [path.name for path in tmp_path.iterdir()] == ['found.json']  # nothing was written
