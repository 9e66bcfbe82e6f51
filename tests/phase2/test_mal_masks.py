"""The variables of phase-2 configs reach the places where they act."""

from __future__ import annotations

import argparse
import copy
import json

import numpy as np
import pytest
from mmdet.registry import DATASETS, RUNNERS
from mmdet.utils import register_all_modules
from mmengine.config import Config, ConfigDict
from mmengine.logging import MMLogger
from mmengine.registry import DefaultScope
from pycocotools import mask as coco_mask

from mal_mm import config_path
from mal_mm.launcher import load_config
from mal_mm.phase2.mal_masks import apply_mal_masks
from mal_mm.phase2.mask_quality import use_mask_quality
from mal_mm.samples import make_shapes
from mal_mm.samples.shapes import CATEGORIES
from mal_mm_cli.config_arguments import add_config_arguments

COCO = 'mal_mm::phase2/mask-rcnn_r50_fpn_1x_coco_mal.py'
LVIS = 'mal_mm::phase2/mask-rcnn_x101-32x4d_fpn_1x_lvis-v1_mal.py'
DEFAULT = 'annotations/instances_train2017_mal.json'


def load(config: object, *cfg_options: str) -> Config:
    """What tools/train.py makes of its command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument('config')
    add_config_arguments(parser)
    options = ('--cfg-options', *cfg_options) if cfg_options else ()
    return load_config(parser.parse_args([str(config), *options]))


def file_of(cfg: Config) -> str:
    dataset = cfg.train_dataloader.dataset
    dataset = dataset.get('dataset', dataset)
    assert cfg.mal_ann_file == dataset.ann_file  # also in the config that a run saves
    return dataset.ann_file


def child(path, *lines: str, base: str = COCO):
    path.write_text('\n'.join((f'_base_ = [{base!r}]', *lines)))
    return path


# -- which file -----------------------------------------------------------------------------------


def test_file_is_the_default_until_another_is_named():
    assert file_of(load(COCO)) == DEFAULT
    assert file_of(load(LVIS)) == 'annotations/lvis_v1_train_mal.json'


@pytest.mark.parametrize('config', [COCO, LVIS])
def test_variable_on_the_command_line_reaches_the_innermost_dataset(config):
    assert file_of(load(config, 'mal_ann_file=/elsewhere/mal.json')) == '/elsewhere/mal.json'


def test_config_that_inherits_sets_the_variable_alone(tmp_path):
    path = child(tmp_path / 'child.py', "mal_ann_file = 'mine.json'")
    assert file_of(load(path)) == 'mine.json'


def test_a_dataset_named_on_the_command_line_is_refused():
    for config, key in (
        (COCO, 'train_dataloader.dataset.ann_file'),
        (LVIS, 'train_dataloader.dataset.dataset.ann_file'),
    ):
        with pytest.raises(ValueError, match=rf'{key}: .* say --cfg-options mal_ann_file=FILE'):
            load(config, f'{key}=named.json')


def test_evaluation_and_configs_without_the_variable_stay(load_stock):
    cfg, before = load_stock(), load_stock()
    apply_mal_masks(cfg)
    assert cfg.to_dict() == before.to_dict()
    cfg = load(COCO, 'mal_ann_file=other.json')
    assert cfg.val_dataloader == before.val_dataloader
    assert cfg.val_evaluator == before.val_evaluator


def test_two_files_are_not_replaced_by_one(load_stock):
    cfg = load_stock()
    part = cfg.train_dataloader.dataset
    joined = ConfigDict(type='ConcatDataset', datasets=[part, copy.deepcopy(part)])
    cfg.train_dataloader.dataset = joined
    cfg.mal_ann_file = 'mal.json'
    with pytest.raises(ValueError, match=r"'mal\.json'.*2 datasets.*datasets\.0\.ann_file=FILE"):
        apply_mal_masks(cfg)
    cfg.mal_ann_file = None
    apply_mal_masks(cfg, {'train_dataloader.dataset.datasets.0.ann_file': 'a.json'})
    assert joined == ConfigDict(type='ConcatDataset', datasets=[part, part])


def test_one_line_says_that_a_file_was_put_in_place(caplog):
    logger = MMLogger.get_current_instance()
    logger.addHandler(caplog.handler)
    try:
        load(COCO)
        load(COCO, 'mal_ann_file=other.json')
    finally:
        logger.removeHandler(caplog.handler)
    said = [each.message for each in caplog.records if 'mal_ann_file' in each.message]
    assert said == [f"Training on mal_ann_file 'other.json' in place of '{DEFAULT}'"]


@pytest.fixture
def load_stock():
    base = Config.fromfile(config_path('phase2/mask-rcnn_r50_fpn_1x_coco_mal.py'))
    base.pop('mal_ann_file')
    base.train_dataloader.dataset.ann_file = 'annotations/instances_train2017.json'
    return lambda: copy.deepcopy(base)


# -- quality --------------------------------------------------------------------------------------


def test_quality_variables_rewrite_the_config_as_the_function_does(load_stock):
    cfg = load(COCO, 'mal_min_quality=0.25', 'mal_quality_weight=True')
    expected = load_stock()
    use_mask_quality(expected, 0.25, True)
    assert cfg.model == expected.model != load_stock().model
    assert cfg.train_dataloader.dataset.pipeline == expected.train_dataloader.dataset.pipeline
    # a saved config, with the variables turned off again
    apply_off = copy.deepcopy(cfg)
    apply_off.update(mal_min_quality=0, mal_quality_weight=False)
    apply_mal_masks(apply_off)
    use_mask_quality(expected, 0, False)
    assert apply_off.model == expected.model


# -- the fragment ---------------------------------------------------------------------------------

STOCK = 'mmdet::rtmdet/rtmdet-ins_tiny_8xb32-300e_coco.py'  # polygons, in a hook's pipeline too


@pytest.fixture(scope='module')
def shapes(tmp_path_factory):
    """Two images with masks as RLE, as labeling writes them."""
    root = tmp_path_factory.mktemp('shapes')
    make_shapes(root, num_images=2, num_unseen=0, size=64)
    return root


@pytest.fixture
def with_fragment(shapes, tmp_path):
    path = tmp_path / 'rtmdet.py'
    path.write_text(
        f"_base_ = [{STOCK!r}, 'mal_mm::phase2/mal_masks.py']\n"
        f"mal_ann_file = '{shapes}/train_gt.json'\n"
        'model = dict(backbone=dict(init_cfg=None))\n'
        'dataset_of_shapes = dict('
        f"data_prefix=dict(img='{shapes}/'), metainfo=dict(classes={CATEGORIES!r}), "
        'filter_cfg=dict(min_size=0))\n'
        'train_dataloader = dict(num_workers=0, dataset=dataset_of_shapes)\n'
    )
    return path


def test_fragment_alone_makes_a_stock_segmenter_read_rle_masks(with_fragment, shapes):
    register_all_modules(init_default_scope=False)
    cfg = load(with_fragment)
    switch = cfg.custom_hooks[1].switch_pipeline
    pipelines = (cfg.train_dataloader.dataset.pipeline, switch)
    assert [each[1].type for each in pipelines] == ['LoadAnnotations', 'LoadAnnotations']
    assert all(each[1].poly2mask for each in pipelines)
    assert cfg.val_dataloader.dataset.ann_file == 'annotations/instances_val2017.json'
    assert 'runner_type' not in cfg
    cfg.train_dataloader.dataset.pipeline = pipelines[0][:2]  # before mosaic and mixup
    with DefaultScope.overwrite_default_scope('mmdet'):
        sample = DATASETS.build(cfg.train_dataloader.dataset)[0]
    annotations = json.loads((shapes / 'train_gt.json').read_text())['annotations']
    masks = [coco_mask.decode(a['segmentation']) for a in annotations if a['image_id'] == 1]
    np.testing.assert_array_equal(sample['gt_masks'].masks, np.stack(masks))
    assert not sample['gt_ignore_flags'].any()


@pytest.mark.slow  # builds a runner
def test_fragment_acts_in_mmdetections_own_tools(with_fragment, shapes, tmp_path):
    cfg = Config.fromfile(with_fragment)
    assert cfg.train_dataloader.dataset.ann_file == 'annotations/instances_train2017.json'
    cfg.update(work_dir=str(tmp_path / 'run'), log_level='ERROR', experiment_name=tmp_path.name)
    cfg.merge_from_dict({'mal_ann_file': f'{shapes}/unseen.json'})
    with DefaultScope.overwrite_default_scope('mmdet'):
        runner = RUNNERS.build(cfg)  # tools/train.py of MMDetection does it for a `runner_type`
    assert file_of(runner.cfg) == f'{shapes}/unseen.json'
    assert runner.cfg.train_dataloader.dataset.pipeline[1].poly2mask
