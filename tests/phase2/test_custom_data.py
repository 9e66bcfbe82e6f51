"""A recipe put on other people's files: heads, datasets, evaluators."""

from __future__ import annotations

import json

import pytest
import torch
from mmdet.registry import DATASETS, METRICS, MODELS
from mmdet.utils import register_all_modules
from mmengine.config import Config, ConfigDict
from mmengine.hub import get_config
from mmengine.registry import DefaultScope

from mal_mm.formats import AnnotationError
from mal_mm.phase2.custom_data import (
    OwnData,
    class_names,
    point_at,
    point_labeler_at,
    put_on_data,
    set_num_classes,
)
from mal_mm.samples import make_shapes

N = 7
NAMES = tuple(f'thing {n}' for n in range(N))
# config -> layers that say how many classes there are, and what they say besides N
HEADS = {
    'solov2/solov2_r50_fpn_1x_coco': {'mask_head.conv_cls': 0},
    'cascade_rcnn/cascade-mask-rcnn_r50_fpn_1x_coco': {
        **{f'roi_head.bbox_head.{n}.fc_cls': 1 for n in range(3)},
        **{f'roi_head.mask_head.{n}.conv_logits': 0 for n in range(3)},
    },
    'ms_rcnn/ms-rcnn_r50-caffe_fpn_1x_coco': {
        'roi_head.bbox_head.fc_cls': 1,
        'roi_head.mask_head.conv_logits': 0,
        'roi_head.mask_iou_head.fc_mask_iou': 0,
    },
    'point_rend/point-rend_r50-caffe_fpn_ms-1x_coco': {'roi_head.point_head.fc_logits': 0},
    'mask2former/mask2former_r50_8xb2-lsj-50e_coco': {'panoptic_head.cls_embed': 1},
    'condinst/condinst_r50_fpn_ms-poly-90k_coco_instance': {'bbox_head.conv_cls': 0},
    'boxinst/boxinst_r50_fpn_ms-90k_coco': {'bbox_head.conv_cls': 0},
    'rtmdet/rtmdet-ins_tiny_8xb32-300e_coco': {'bbox_head.rtm_cls.0': 0},
    'queryinst/queryinst_r50_fpn_1x_coco': {
        'roi_head.bbox_head.0.fc_cls': 0,
        'roi_head.mask_head.5.conv_logits': 0,
    },
}


@pytest.fixture(scope='module')
def files(tmp_path_factory):
    """Empty COCO files and their folder: nothing here reads what is in them."""
    folder = tmp_path_factory.mktemp('mine')
    return folder / 'mal.json', folder, folder / 'val.json', folder


def stock(name: str) -> Config:
    return get_config(f'mmdet::{name}.py')


@pytest.mark.parametrize('name', HEADS)
def test_every_head_has_the_classes_of_the_file(name, files):
    cfg = point_at(stock(name), *files, NAMES)
    register_all_modules(init_default_scope=False)
    cfg.model.backbone.init_cfg = None
    with DefaultScope.overwrite_default_scope('mmdet'), torch.device('meta'):
        model = MODELS.build(cfg.model)
    for path, more in HEADS[name].items():
        layer = model.get_submodule(path)
        channels = getattr(layer, 'out_channels', None) or layer.out_features
        assert channels == N + more, path
    rpn = getattr(model, 'rpn_head', None)
    if hasattr(rpn, 'rpn_cls'):
        assert rpn.num_classes == 1


def test_weights_of_classes_keep_that_of_no_object(files):
    cfg = point_at(stock('mask2former/mask2former_r50_8xb2-lsj-50e_coco'), *files, NAMES)
    head, fusion = cfg.model.panoptic_head, cfg.model.panoptic_fusion_head
    assert head.loss_cls.class_weight == [1.0] * N + [0.1]
    assert (head.num_things_classes, head.num_stuff_classes) == (N, 0)
    assert (fusion.num_things_classes, fusion.num_stuff_classes) == (N, 0)


def test_heads_that_rely_on_their_default_state_the_number():
    model = ConfigDict(
        panoptic_head=dict(type='MaskDINOHead', num_stuff_classes=0),
        roi_head=dict(type='StandardRoIHead', mask_head=dict(type='FCNMaskHead')),
        rpn_head=dict(type='RPNHead'),
    )
    set_num_classes(model, N)
    assert model.panoptic_head.num_things_classes == N
    assert model.roi_head.mask_head.num_classes == N
    assert 'num_classes' not in model.rpn_head and 'num_classes' not in model.roi_head


def test_lvis_recipe_becomes_one_for_coco_files_and_keeps_its_sampling(files):
    cfg = stock('lvis/mask-rcnn_r50_fpn_sample1e-3_ms-1x_lvis-v1')
    cfg.model.roi_head.bbox_head.loss_cls = dict(type='SeesawLoss', num_classes=1203)
    point_at(cfg, *files, NAMES)
    train, val = cfg.train_dataloader.dataset, cfg.val_dataloader.dataset
    assert train.type == 'ClassBalancedDataset' and train.oversample_thr == 1e-3
    assert train.dataset.type == val.type == 'CocoDataset'
    assert train.dataset.metainfo.classes == val.metainfo.classes == NAMES
    assert train.dataset.ann_file == cfg.mal_ann_file == str(files[0])
    assert cfg.model.roi_head.bbox_head.loss_cls.num_classes == N
    for evaluator in (cfg.val_evaluator, cfg.test_evaluator):
        assert (evaluator.type, evaluator.ann_file) == ('CocoMetric', str(files[2]))


def test_without_human_masks_nothing_is_evaluated(files):
    cfg = stock('rtmdet/rtmdet-ins_tiny_8xb32-300e_coco')
    cfg.default_hooks.checkpoint.save_best = 'auto'
    point_at(cfg, *files[:2], None, None, NAMES)
    for key in ('dataloader', 'evaluator', 'cfg'):
        assert cfg[f'val_{key}'] is cfg[f'test_{key}'] is None
    assert 'save_best' not in cfg.default_hooks.checkpoint


@pytest.mark.parametrize(
    ('name', 'reason'),
    [
        ('htc/htc_r50_fpn_1x_coco', 'htc-without-semantic'),
        ('mask2former/mask2former_r50_8xb2-lsj-50e_coco-panoptic', 'panoptic maps'),
    ],
)
def test_recipe_that_needs_maps_is_refused(name, reason, files):
    with pytest.raises(ValueError, match=reason):
        point_at(stock(name), *files, NAMES)


def test_stuff_classes_are_refused(files):
    cfg = stock('mask2former/mask2former_r50_8xb2-lsj-50e_coco')
    cfg.model.panoptic_head.num_stuff_classes = 53
    with pytest.raises(ValueError, match='53 classes of stuff'):
        point_at(cfg, *files, NAMES)


def test_dataset_and_evaluator_read_the_files(tmp_path):
    make_shapes(tmp_path, num_images=2, num_unseen=1, size=64)
    train, val = tmp_path / 'train_gt.json', tmp_path / 'unseen_gt.json'
    classes = class_names(train)
    cfg = point_at(
        stock('mask_rcnn/mask-rcnn_r50_fpn_1x_coco'), train, tmp_path, val, tmp_path, classes
    )
    cfg.train_dataloader.dataset.filter_cfg.min_size = 0
    register_all_modules(init_default_scope=False)
    with DefaultScope.overwrite_default_scope('mmdet'):
        dataset = DATASETS.build(cfg.train_dataloader.dataset)
        METRICS.build(cfg.val_evaluator)
    content = json.loads(train.read_text())
    wanted = [a['category_id'] for a in content['annotations'] if a['image_id'] == 2]
    assert dataset.metainfo['classes'] == classes
    # ids of the sample set count from 1, labels from 0
    instances = dataset.get_data_info(1)['instances']
    assert [each['bbox_label'] + 1 for each in instances] == wanted
    assert len(dataset[1]['data_samples'].gt_instances.masks) == len(wanted)


def test_labeler_of_several_voc_files_learns_from_the_one_given(repo_root, tmp_path):
    cfg = Config.fromfile(repo_root / 'configs' / 'mal' / 'vit_mae_base.py')
    voc = Config.fromfile(repo_root / 'configs/mal/_base_/datasets/voc0712_boxes.py')
    cfg.train_dataloader = voc.train_dataloader
    point_labeler_at(cfg, OwnData(tmp_path / 'boxes.json', tmp_path), N)
    roi_dataset = cfg.train_dataloader.dataset
    assert roi_dataset.min_area == 2048
    assert roi_dataset.dataset.to_dict() == {
        'type': 'CocoBoxDataset',
        'data_root': '',
        'ann_file': str(tmp_path / 'boxes.json'),
        'data_prefix': {'img': f'{tmp_path}/'},
    }


def test_segmenter_given_as_labeler_is_refused(tmp_path):
    with pytest.raises(ValueError, match='trains no labeler'):
        point_labeler_at(stock('solov2/solov2_r50_fpn_1x_coco'), OwnData(tmp_path, tmp_path), 1)


@pytest.mark.parametrize(
    ('categories', 'reason'),
    [
        ([], "no 'categories'"),
        ([{'id': 1, 'name': 'cat'}, {'id': 2, 'name': 'cat'}], "'cat' 2 x"),
        ([{'id': 1}], 'None 1 x'),
    ],
)
def test_classes_that_cannot_be_told_apart_are_refused(categories, reason, tmp_path):
    path = tmp_path / 'boxes.json'
    path.write_text(json.dumps({'images': [], 'annotations': [], 'categories': categories}))
    with pytest.raises(AnnotationError, match=reason):
        class_names(path)


def own_files(folder, **changed) -> OwnData:
    """Boxes to learn from and masks to judge by, of the drawn shapes."""
    make_shapes(folder, num_images=1, num_unseen=1, size=64)
    return OwnData(folder / 'train.json', folder, folder / 'unseen_gt.json', folder)


def test_either_phase_is_put_on_own_files_with_validation(repo_root, tmp_path):
    data = own_files(tmp_path)
    labeler = Config.fromfile(repo_root / 'configs/mal/vit_mae_base.py')
    put_on_data(labeler, data)
    assert labeler.train_dataloader.dataset.dataset.ann_file == str(data.ann)
    crop = labeler.val_dataloader.dataset.pipeline[1]
    assert (crop.type, crop.crop_size, crop.expansion) == ('RoICrop', 512, 'fixed')
    assert labeler.val_evaluator.ann_file == str(data.val_ann)
    assert labeler.val_evaluator.mask_threshold == labeler.model.test_cfg.mask_threshold
    assert labeler.val_cfg.type == 'ValLoop' and labeler.test_cfg.type == 'TestLoop'

    segmenter = Config.fromfile(repo_root / 'configs/phase2/solov2_r50_fpn_3x_coco_mal.py')
    put_on_data(segmenter, data)
    classes = class_names(data.ann)
    assert segmenter.mal_ann_file == str(data.ann)
    assert segmenter.model.mask_head.num_classes == len(classes) == 5
    assert tuple(segmenter.val_dataloader.dataset.metainfo.classes) == classes
    assert segmenter.val_evaluator.ann_file == str(data.val_ann)


def test_validation_by_other_classes_is_refused(repo_root, tmp_path):
    data = own_files(tmp_path)
    content = json.loads(data.val_ann.read_text())
    content['categories'].reverse()
    data.val_ann.write_text(json.dumps(content))
    segmenter = Config.fromfile(repo_root / 'configs/phase2/solov2_r50_fpn_3x_coco_mal.py')
    with pytest.raises(AnnotationError, match='its categories differ from those of'):
        put_on_data(segmenter, data)
