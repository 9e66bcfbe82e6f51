"""The whole main job: boxes -> labeler -> pseudo-masks -> metrics -> segmenter."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
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
        command = [sys.executable, str(repo_root / 'tools' / name), *map(str, arguments)]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return call


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


def test_metrics_compare_the_masks_with_the_floors(folder, data_root, pseudo_masks, call_tool):
    truth = data_root / 'train_gt.json'
    call_tool('evaluate_pseudo_masks.py', pseudo_masks, truth, '--out', folder / 'metrics.json')
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
