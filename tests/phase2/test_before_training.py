"""Heads, classes, ids and validation files that do not fit are found before training."""

from __future__ import annotations

import json
import shutil

import pytest
from mmengine.config import Config
from pycocotools import mask as coco_mask
from tiny_segmenter import shrink_segmenter

from mal_mm.formats import AnnotationError
from mal_mm.phase2.mask_file_check import check_mask_file
from mal_mm.samples import make_shapes
from mal_mm.samples.shapes import CATEGORIES

RECIPES = {
    'solov2': 'phase2/solov2_r50_fpn_3x_coco_mal.py',
    'mask rcnn': 'phase2/mask-rcnn_r50_fpn_1x_coco_mal.py',
    'cascade': 'phase2/cascade-mask-rcnn_convnext-s_fpn_3x_coco_mal.py',
    'mask2former': 'phase2/mask2former_swin-s_lsj-50e_coco_mal.py',
}


@pytest.fixture(scope='module')
def shapes(tmp_path_factory):
    root = tmp_path_factory.mktemp('shapes')
    make_shapes(root, num_images=2, num_unseen=1, size=64)
    return root


@pytest.fixture
def segmenter(shapes, repo_root, tmp_path):
    """segmenter(recipe, train=change, val=change) -> config on a copy of the sample set."""

    def make(recipe: str = 'solov2', **changes) -> Config:
        root = tmp_path / 'data'
        shutil.copytree(shapes, root, dirs_exist_ok=True)
        for split, name in (('train', 'train_gt.json'), ('val', 'unseen_gt.json')):
            data = json.loads((root / name).read_text())
            changes.get(split, lambda data: None)(data)
            (root / name).write_text(json.dumps(data))
        cfg = Config.fromfile(repo_root / 'configs' / RECIPES[recipe])
        cfg = shrink_segmenter(cfg, root, 'train_gt.json', tmp_path)
        cfg.mal_ann_file = 'train_gt.json'
        return cfg

    return make


@pytest.mark.parametrize('recipe', RECIPES)
def test_what_fits_passes(segmenter, recipe):
    assert check_mask_file(segmenter(recipe)) == []


@pytest.mark.parametrize('number', [1, 80])
@pytest.mark.parametrize(
    ('recipe', 'key'),
    [
        ('solov2', 'model.mask_head.num_classes'),
        ('mask rcnn', 'model.roi_head.bbox_head.num_classes'),
        ('mask rcnn', 'model.roi_head.mask_head.num_classes'),
        ('cascade', 'model.roi_head.bbox_head.1.num_classes'),
        ('mask2former', 'model.panoptic_head.num_things_classes'),
    ],
)
def test_a_head_that_counts_other_classes_is_named(segmenter, recipe, key, number):
    cfg = segmenter(recipe)
    cfg.merge_from_dict({key: number})
    fix = f'--cfg-options {key}={len(CATEGORIES)}'
    with pytest.raises(AnnotationError, match=rf'{key} is {number}, but .* classes .*: say {fix}'):
        check_mask_file(cfg)


def test_a_head_that_relies_on_its_default_is_named(segmenter):
    cfg = segmenter('mask rcnn')
    del cfg.model.roi_head.bbox_head['num_classes']
    with pytest.raises(AnnotationError, match=r'model\.roi_head\.bbox_head\.num_classes is 80'):
        check_mask_file(cfg)


def test_forgotten_metainfo_of_validation_is_named(segmenter):
    cfg = segmenter()
    cfg.val_dataloader.dataset.pop('metainfo')
    with pytest.raises(AnnotationError, match=r'give val_dataloader\.dataset\.metainfo the same'):
        check_mask_file(cfg)


def twice(name):
    def change(data):
        data['categories'].append({'id': 99, 'name': name})

    return change


def root_category(data):
    data['categories'].insert(0, {'id': 0, 'name': CATEGORIES[0], 'supercategory': 'none'})


@pytest.mark.parametrize('change', [twice(CATEGORIES[1]), root_category])
def test_two_categories_of_one_name_are_named(segmenter, change):
    with pytest.raises(AnnotationError, match=r"are both called '.*rename one"):
        check_mask_file(segmenter(train=change))


def without(*path):
    def change(data):
        data['annotations'][1].pop(path[0])

    return change


def set_to(key, value, where='annotations'):
    def change(data):
        data[where][1 if where == 'annotations' else 0][key] = value

    return change


SAME_ID = 'occurs twice in `annotations`'
BROKEN_VAL = [
    (without('area'), 'has no `area`, which validation needs'),
    (without('iscrowd'), 'has no `iscrowd`, which validation needs; add "iscrowd": 0'),
    (without('segmentation'), 'has no `segmentation`'),
    (without('bbox'), 'has no `bbox`'),
    (without('id'), r'annotations\[1\] has no `id`'),
    (set_to('id', None), r'annotations\[1\] has id None'),
    (lambda data: set_to('id', data['annotations'][0]['id'])(data), SAME_ID),
    (set_to('width', '64', 'images'), 'needs `width` and `height`'),
    (set_to('width', None, 'images'), 'needs `width` and `height`'),
]


@pytest.mark.parametrize(('change', 'reason'), BROKEN_VAL)
def test_a_validation_file_that_would_stop_it_is_named(segmenter, change, reason):
    with pytest.raises(AnnotationError, match=reason) as caught:
        check_mask_file(segmenter(val=change))
    assert 'unseen_gt.json' in str(caught.value)


def rle(height: int, width: int) -> dict:
    area = height * width
    return {'size': [height, width], 'counts': [area // 2, 20, area - area // 2 - 20]}


BROKEN_TRAIN = [
    (without('id'), r'annotations\[1\] has no `id`'),
    (lambda data: set_to('id', data['annotations'][0]['id'])(data), SAME_ID),
    (set_to('width', -1, 'images'), 'not whole numbers of pixels'),
    (set_to('segmentation', rle(32, 128)), 'damaged, empty, or of another size'),
    (set_to('segmentation', rle(65, 64)), 'damaged, empty, or of another size'),
    (set_to('segmentation', {'size': [64, 64], 'counts': [64 * 64]}), 'damaged, empty'),
    (set_to('segmentation', {'size': [64, 64], 'counts': "b'abc'"}), 'damaged, empty'),
    (set_to('segmentation', {'size': [64, 64], 'counts': 'Pg1'}), 'damaged, empty'),
    (set_to('segmentation', [[0, 0, 0, 0, 0, 0]]), 'damaged, empty'),
    (set_to('segmentation', [[1, 1, 9, 1, 9, float('nan')]]), 'damaged, empty'),
]


@pytest.mark.parametrize(('change', 'reason'), BROKEN_TRAIN)
def test_a_training_file_that_would_teach_garbage_is_refused(segmenter, change, reason):
    with pytest.raises(AnnotationError, match=reason) as caught:
        check_mask_file(segmenter(train=change))
    assert 'train_gt.json' in str(caught.value)


def test_swapped_sizes_are_refused_where_the_image_is_not_square(segmenter):
    def change(data):
        data['images'][0].update(width=128)
        for each in data['annotations']:
            if each['image_id'] == data['images'][0]['id']:
                each['segmentation'] = rle(128, 64)
                assert coco_mask.frPyObjects(each['segmentation'], 128, 64)

    with pytest.raises(AnnotationError, match='of another size than their image'):
        check_mask_file(segmenter(train=change))
