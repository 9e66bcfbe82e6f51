"""Phase 2: MMDetection's recipes on a rewritten annotation file."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from mmdet.registry import DATASETS
from mmdet.utils import register_all_modules
from mmengine.config import Config
from mmengine.hub import get_config
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from pycocotools import mask as coco_mask
from tiny_segmenter import shrink_solov2

from mal_mm.samples import make_shapes


@pytest.fixture
def config(repo_root):
    return Config.fromfile(repo_root / 'configs' / 'phase2' / 'solov2_r50_fpn_3x_coco_mal.py')


@pytest.fixture(scope='module')
def data_root(tmp_path_factory):
    """Two images with masks (RLE, as labeling writes them) to train on, one to test on."""
    root = tmp_path_factory.mktemp('shapes')
    make_shapes(root, num_images=2, num_unseen=1, size=64)
    return root


def flatten(node: object, name: str = '') -> dict[str, object]:
    """{'a.b.0': value}, without mmengine's marks of where a part was inherited from."""
    if isinstance(node, dict):
        pairs = ((key, value) for key, value in node.items() if key != '_scope_')
    elif isinstance(node, (list, tuple)):
        pairs = enumerate(node)
    else:
        return {name: node}
    flat = {}
    for key, value in pairs:
        flat.update(flatten(value, f'{name}.{key}' if name else str(key)))
    return flat


def test_only_the_training_file_differs_from_the_stock_config(config):
    stock = flatten(get_config('mmdet::solov2/solov2_r50_fpn_ms-3x_coco.py').to_dict())
    ours = flatten(config.to_dict())
    assert {key: ours[key] for key in ours if key not in stock or ours[key] != stock[key]} == {
        'mal_ann_file': 'annotations/instances_train2017_mal.json',
        'train_dataloader.dataset.ann_file': 'annotations/instances_train2017_mal.json',
    }
    assert stock.keys() - ours.keys() == set()


def test_evaluation_stays_on_human_masks(config):
    human = 'annotations/instances_val2017.json'
    for split in ('val', 'test'):
        assert config[f'{split}_dataloader'].dataset.ann_file == human
        assert config[f'{split}_evaluator'].ann_file == f'data/coco/{human}'
        assert config[f'{split}_evaluator'].metric == 'segm'


def test_masks_of_the_rewritten_file_reach_the_training(config, data_root, tmp_path):
    register_all_modules(init_default_scope=False)
    shrink_solov2(config, data_root, 'train_gt.json', tmp_path)
    with DefaultScope.overwrite_default_scope('mmdet'):
        dataset = DATASETS.build(config.train_dataloader.dataset)
        (flip,) = (t for t in dataset.pipeline.transforms if type(t).__name__ == 'RandomFlip')
        flip.prob = 0.0
        sample = dataset[0]['data_samples']
    annotations = json.loads((data_root / 'train_gt.json').read_text())['annotations']
    masks = [coco_mask.decode(a['segmentation']) for a in annotations if a['image_id'] == 1]
    np.testing.assert_array_equal(sample.gt_instances.masks.masks, np.stack(masks))
    assert len(sample.ignored_instances) == 0


def test_solov2_trains_an_iteration_and_evaluates(config, data_root, tmp_path):
    shrink_solov2(config, data_root, 'train_gt.json', tmp_path)
    runner = Runner.from_cfg(config)
    runner.model.init_weights()
    before = {key: value.clone() for key, value in runner.model.named_parameters()}
    runner.train()
    assert runner.iter == 1
    history = runner.message_hub.log_scalars
    for name in ('loss_mask', 'loss_cls'):
        assert np.isfinite(history[f'train/{name}'].data[0]).all()
        assert history[f'train/{name}'].data[0][0] > 0
    moved = [k for k, v in runner.model.named_parameters() if not torch.equal(v, before[k])]
    assert any(key.startswith('mask_head') for key in moved)
    assert any(key.startswith('backbone') for key in moved)
    assert 'val/coco/segm_mAP' in history
