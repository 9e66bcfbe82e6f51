"""Every family of phase 2 trains a batch on RLE masks and evaluates, at reduced size."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from mmdet.registry import DATASETS
from mmengine.config import Config
from mmengine.registry import DefaultScope
from pycocotools import mask as coco_mask
from tiny_segmenter import shrink_segmenter

from mal_mm.launcher import build_runner
from mal_mm.phase2.mal_masks import apply_mal_masks
from mal_mm.phase2.mask_file_check import MaskFileError, check_mask_file
from mal_mm.samples import make_shapes

# recipe -> losses that see the masks (of boxes alone, where it has none)
COCO = {
    'solov2_r50_fpn_3x_coco_mal': ['loss_mask'],
    'solov2_r101-dcn_fpn_3x_coco_mal': ['loss_mask'],
    'solov2_x101-dcn_fpn_3x_coco_mal': ['loss_mask'],
    'cascade-mask-rcnn_convnext-s_fpn_3x_coco_mal': ['s0.loss_mask', 's2.loss_mask'],
    'mask2former_swin-s_lsj-50e_coco_mal': ['loss_mask', 'd0.loss_dice'],
    'condinst_r50_fpn_90k_coco_mal': ['loss_mask'],
    'boxinst_r50_fpn_90k_coco_boxes': ['loss_mask_project'],
    'cascade-rcnn_convnext-s_fpn_3x_coco_boxes': ['s2.loss_cls'],
}
LVIS = {
    'faster-rcnn_r50_fpn_1x_lvis-v1_boxes': ['loss_cls'],
    'mask-rcnn_r50-dcn_fpn_1x_lvis-v1_mal': ['loss_mask'],
    'mask-rcnn_x101-32x4d_fpn_1x_lvis-v1_mal': ['loss_mask'],
}


@pytest.fixture(scope='module')
def data_root(tmp_path_factory) -> Path:
    """Two images to train on, one to test on; masks are RLE, as labeling writes them.

    `lvis_NAME.json` hold the same as LVIS v1 has it.
    """
    root = tmp_path_factory.mktemp('shapes')
    make_shapes(root, num_images=2, num_unseen=1, size=64)
    for name in ('train_gt', 'unseen_gt'):
        data = json.loads((root / f'{name}.json').read_text())
        for image in data['images']:
            image['coco_url'] = f'http://images.cocodataset.org/{image.pop("file_name")}'
            image |= {'neg_category_ids': [1, 2, 3, 4, 5], 'not_exhaustive_category_ids': []}
        for category, frequency in zip(data['categories'], 'rcfff', strict=True):
            category['frequency'] = frequency
        (root / f'lvis_{name}.json').write_text(json.dumps(data))
    return root


def train_and_evaluate(cfg: Config) -> dict[str, float]:
    """The first value of everything logged; the whole model must have learned."""
    runner = build_runner(cfg)
    runner.model.init_weights()
    before = {key: value.clone() for key, value in runner.model.named_parameters()}
    runner.train()
    assert runner.iter == 1
    moved = {
        key.split('.')[0]
        for key, value in runner.model.named_parameters()
        if not torch.equal(value, before[key])
    }
    assert moved == {key.split('.')[0] for key in before}
    logged = runner.message_hub.log_scalars
    return {key: float(value.data[0][0]) for key, value in logged.items()}


@pytest.mark.parametrize('name', [*COCO, *LVIS])
def test_recipe_trains_a_batch_and_evaluates(name, repo_root, data_root, tmp_path):
    cfg = Config.fromfile(repo_root / 'configs' / 'phase2' / f'{name}.py')
    files = ['train_gt.json', 'unseen_gt.json']
    if name in LVIS:
        files = [f'lvis_{file}' for file in files]
    elif name.endswith('_boxes'):
        files[0] = 'train.json'  # without masks
    shrink_segmenter(cfg, data_root, files[0], tmp_path, files[1])
    assert check_mask_file(cfg) == []
    logged = train_and_evaluate(cfg)
    losses = {key: value for key, value in logged.items() if 'loss' in key}
    assert np.isfinite(list(losses.values())).all()
    for loss in (COCO | LVIS)[name]:
        assert losses[f'train/{loss}'] > 0
    # written only if something was detected
    measure = 'bbox' if name.startswith(('cascade-rcnn', 'faster-rcnn')) else 'segm'
    score = f'lvis/{measure}_AP' if name in LVIS else f'coco/{measure}_mAP'
    assert 0 <= logged[f'val/{score}'] <= 1


def test_masks_of_the_file_reach_the_training(repo_root, data_root, tmp_path):
    cfg = Config.fromfile(repo_root / 'configs' / 'phase2' / 'solov2_r50_fpn_3x_coco_mal.py')
    shrink_segmenter(cfg, data_root, 'train_gt.json', tmp_path)
    with DefaultScope.overwrite_default_scope('mmdet'):
        dataset = DATASETS.build(cfg.train_dataloader.dataset)
        (flip,) = (t for t in dataset.pipeline.transforms if type(t).__name__ == 'RandomFlip')
        flip.prob = 0.0
        sample = dataset[0]['data_samples']
    annotations = json.loads((data_root / 'train_gt.json').read_text())['annotations']
    masks = [coco_mask.decode(a['segmentation']) for a in annotations if a['image_id'] == 1]
    np.testing.assert_array_equal(sample.gt_instances.masks.masks, np.stack(masks))
    assert len(sample.ignored_instances) == 0


RTMDET = "'mmdet::rtmdet/rtmdet-ins_tiny_8xb32-300e_coco.py'"


@pytest.mark.parametrize('with_fragment', [True, False])
def test_a_model_the_paper_never_used_learns_from_the_masks(
    with_fragment, repo_root, data_root, tmp_path
):
    fragment = repo_root / 'configs' / 'phase2' / 'mal_masks.py'
    bases = f'[{RTMDET}, {str(fragment)!r}]' if with_fragment else f'[{RTMDET}]'
    (tmp_path / 'mine.py').write_text(f'_base_ = {bases}\n')
    cfg = Config.fromfile(tmp_path / 'mine.py')
    shrink_segmenter(cfg, data_root, 'train_gt.json', tmp_path)
    if with_fragment:
        cfg.mal_ann_file = 'train_gt.json'
        cfg.train_dataloader.dataset.ann_file = 'annotations/instances_train2017.json'
        apply_mal_masks(cfg)
    else:
        with pytest.raises(MaskFileError, match=r'RLE, which .*poly2mask=False.* ignores') as end:
            check_mask_file(cfg)
        options = re.findall(r'(\S+poly2mask)=True', str(end.value))
        assert len(options) == 2  # both stages
        cfg.merge_from_dict(dict.fromkeys(options, True))
    assert check_mask_file(cfg) == []
    logged = train_and_evaluate(cfg)
    assert logged['train/loss_mask'] > 0 and np.isfinite(logged['train/loss'])
    assert 'val/coco/segm_mAP' in logged
