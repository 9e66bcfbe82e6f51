"""The whole main job: boxes -> labeler -> pseudo-masks -> metrics -> segmenter."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import warm_processes
from in_process import call
from mmengine.config import Config
from mmengine.runner import Runner
from pycocotools import mask as coco_mask
from tiny_labeler import shrink
from tiny_segmenter import shrink_segmenter

from mal_mm.samples import make_shapes


@pytest.fixture(scope='module')
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp('end_to_end')


@pytest.fixture(scope='module')
def call_tool(repo_root, folder):
    def call(name: str, *arguments: object) -> str:
        command = [sys.executable, repo_root / 'tools' / name, *arguments]
        done = warm_processes.run(command, folder)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return call


@pytest.fixture
def mal_mm_call(folder):
    """A command in this process, which has imported all that it needs."""

    def run(command: str, *arguments: object) -> str:
        done = call(command, *arguments, cwd=folder)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


@pytest.fixture(scope='module')
def data_root(folder) -> Path:
    make_shapes(folder / 'shapes', num_images=2, num_unseen=1, size=64)
    return folder / 'shapes'


@pytest.fixture(scope='module')
def labeler(folder, data_root, repo_root, call_tool) -> tuple[Path, Path]:
    """Config and checkpoint of a labeler that tools/train.py has trained on boxes alone."""
    cfg = Config.fromfile(repo_root / 'configs' / 'mal' / 'vit_mae_base.py')
    shrink(cfg, data_root, folder / 'labeler', batch_size=4)
    cfg.model.test_cfg.mask_threshold = 0.45
    cfg.dump(folder / 'labeler.py')
    call_tool('train.py', 'labeler.py')
    return folder / 'labeler.py', folder / 'labeler' / 'epoch_1.pth'


@pytest.fixture(scope='module')
def pseudo_masks(folder, data_root, labeler, call_tool) -> Path:
    """The training file, rewritten by tools/generate_pseudo_masks.py."""
    out = data_root / 'pseudo_masks.json'
    arguments = ['--ann', data_root / 'train.json', '--img-root', data_root, '--out', out]
    stdout = call_tool('generate_pseudo_masks.py', *labeler, *arguments, '--flip')
    assert '0 skipped' in stdout
    return out


def test_every_box_gets_a_mask_inside_the_image(data_root, pseudo_masks):
    boxed = json.loads((data_root / 'train.json').read_text())
    masked = json.loads(pseudo_masks.read_text())
    assert masked['images'] == boxed['images'] and masked['categories'] == boxed['categories']
    assert len(masked['annotations']) == len(boxed['annotations']) > 2
    for before, after in zip(boxed['annotations'], masked['annotations'], strict=True):
        assert (after['id'], after['bbox']) == (before['id'], before['bbox'])
        mask = coco_mask.decode(after['segmentation'])
        assert mask.shape == (64, 64)
        assert after['area'] == mask.sum() > 0
        assert 0 <= after['mal_quality'] <= 1
        # nothing outside the box but the rounding of a crop pixel
        x, y, w, h = before['bbox']
        rows, columns = np.nonzero(mask)
        assert columns.min() >= x - w / 16 - 1 and columns.max() <= x + w * 17 / 16 + 1
        assert rows.min() >= y - h / 16 - 1 and rows.max() <= y + h * 17 / 16 + 1


def test_metrics_compare_the_masks_with_the_floors(folder, data_root, pseudo_masks, mal_mm_call):
    truth = data_root / 'train_gt.json'
    mal_mm_call('evaluate', pseudo_masks, truth, '--out', folder / 'metrics.json')
    metrics = json.loads((folder / 'metrics.json').read_text())
    number = len(json.loads(truth.read_text())['annotations'])
    assert metrics['counts']['evaluated'] == metrics['counts']['ground_truth'] == number
    assert not metrics['left_out']


def test_segmenter_takes_a_training_step_on_the_masks(
    data_root, pseudo_masks, repo_root, tmp_path
):
    cfg = Config.fromfile(repo_root / 'configs' / 'phase2' / 'solov2_r50_fpn_3x_coco_mal.py')
    shrink_segmenter(cfg, data_root, pseudo_masks.name, tmp_path)
    cfg.update(val_dataloader=None, val_cfg=None, val_evaluator=None)
    runner = Runner.from_cfg(cfg)
    runner.train()
    assert runner.iter == 1
    loss = runner.message_hub.get_scalar('train/loss_mask').current()
    assert np.isfinite(loss) and loss > 0


@pytest.mark.slow
def test_the_page_says_what_made_the_masks(folder, data_root, pseudo_masks, mal_mm_call):
    mal_mm_call('report', pseudo_masks, '--img-root', data_root, '--out', folder / 'page')
    page = (folder / 'page' / 'index.html').read_text()
    head = json.loads(pseudo_masks.read_text())['mal_mm']
    assert head['config'].startswith('labeler.py') and head['checkpoint'].startswith('epoch_1.pth')
    assert head['config'] in page and head['checkpoint'] in page


@pytest.mark.slow
def test_the_file_leaves_for_other_tools_and_comes_back(folder, pseudo_masks, mal_mm_call):
    ours = json.loads(pseudo_masks.read_text())
    mal_mm_call('convert', pseudo_masks, '--to', 'cvat', folder / 'cvat.xml')
    mal_mm_call('convert', 'cvat', folder / 'cvat.xml', folder / 'back.json')
    back = {
        each['id']: each for each in json.loads((folder / 'back.json').read_text())['annotations']
    }
    for annotation in ours['annotations']:
        returned = back[annotation['id']]
        assert coco_mask.iou(
            [coco_rle(returned['segmentation'])], [annotation['segmentation']], [0]
        ) == pytest.approx(1)
        assert returned['mal_quality'] == annotation['mal_quality']


def coco_rle(segmentation) -> dict:
    polygons = isinstance(segmentation, list)
    return (
        coco_mask.merge(coco_mask.frPyObjects(segmentation, 64, 64)) if polygons else segmentation
    )


@pytest.mark.slow
def test_retention_scores_the_masks_as_predictions(folder, data_root, pseudo_masks, mal_mm_call):
    truth = data_root / 'train_gt.json'
    for name, path in (('gt', truth), ('mal', pseudo_masks)):
        results = [
            dict(
                image_id=each['image_id'],
                category_id=each['category_id'],
                segmentation=coco_rle(each['segmentation']),
                score=each.get('mal_quality', 1.0),
            )
            for each in json.loads(path.read_text())['annotations']
        ]
        for result in results:
            if isinstance(result['segmentation']['counts'], bytes):
                result['segmentation']['counts'] = result['segmentation']['counts'].decode()
        (folder / f'{name}.segm.json').write_text(json.dumps(results))
    said = mal_mm_call('retention', 'gt.segm.json', 'mal.segm.json', '--gt-ann', truth)
    assert '| segm | AP | GT |' in said or '100.0' in said


@pytest.mark.slow
def test_the_two_phase_command_takes_the_labeler_that_made_them(
    folder, data_root, labeler, repo_root, mal_mm_call
):
    segmenter = repo_root / 'configs' / 'phase2' / 'solov2_r50_fpn_3x_coco_mal.py'
    said = mal_mm_call(
        'two-phase',
        *('--ann', data_root / 'pseudo_masks.json', '--img-root', data_root),
        *('--labeler', labeler[0], '--labeler-checkpoint', labeler[1], '--segmenter', segmenter),
        *('--val-ann', data_root / 'unseen_gt.json', '--val-img-root', data_root),
        *('--gt-ann', data_root / 'train_gt.json', '--work-dir', folder / 'two', '--dry-run'),
    )
    assert 'generate_pseudo_masks.py' in said and 'segmenter_gt' in said
