"""LVISMetric with today's numpy, and what mmengine makes of its scores."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from mmdet.evaluation.metrics import LVISMetric
from mmengine.hooks import CheckpointHook

pytest.importorskip('lvis')
SIDE = 80
BOXES = ([0, 0, 20, 20], [30, 0, 40, 40])  # x, y, width, height


def lvis_file(path, annotations=True):
    """Two categories of one image: one rare, one frequent."""
    content = {
        'images': [
            {'id': 7, 'height': SIDE, 'width': SIDE, 'neg_category_ids': [],
             'not_exhaustive_category_ids': [], 'coco_url': 'http://x/val2017/7.jpg'}
        ],
        'categories': [
            {'id': 1, 'name': 'a', 'frequency': 'r'}, {'id': 2, 'name': 'b', 'frequency': 'f'}
        ],
    }  # fmt: skip
    if annotations:
        content['annotations'] = [
            {'id': i, 'image_id': 7, 'category_id': i, 'bbox': [x, y, w, h], 'area': w * h,
             'segmentation': [[x, y, x + w, y, x + w, y + h, x, y + h]]}
            for i, (x, y, w, h) in enumerate(BOXES, 1)
        ]  # fmt: skip
    path.write_text(json.dumps(content))
    return str(path)


def sample(found):
    """The boxes of the classes `found` (from 0), masks and all."""
    masks = torch.zeros(len(found), SIDE, SIDE, dtype=torch.bool)
    boxes = []
    for mask, label in zip(masks, found, strict=True):
        x, y, w, h = BOXES[label]
        mask[y : y + h, x : x + w] = True
        boxes.append([x, y, x + w, y + h])
    instances = {
        'bboxes': torch.tensor(boxes, dtype=torch.float32),
        'labels': torch.tensor(found),
        'scores': torch.full((len(found),), 0.9),
        'masks': masks,
    }
    return {'pred_instances': instances, 'img_id': 7, 'ori_shape': (SIDE, SIDE)}


def test_lvis_metric_scores_masks_by_frequency(tmp_path):
    metric = LVISMetric(lvis_file(tmp_path / 'val.json'), metric=['bbox', 'segm'])
    metric.process({}, [sample([1])])  # the frequent one
    scores = metric.evaluate(1)
    for kind in ('bbox', 'segm'):
        names = ('AP', 'APr', 'APf', 'APs', 'APm')
        values = [scores[f'lvis/{kind}_{name}'] for name in names]
        assert values == pytest.approx([0.5, 0, 1, 0, 1])
    assert not hasattr(np, 'float') or np.__version__ < '1.24'


def test_result_files_need_no_annotations(tmp_path):
    prefix = tmp_path / 'test_dev'
    metric = LVISMetric(
        lvis_file(tmp_path / 'test.json', annotations=False),
        metric='segm',
        format_only=True,
        outfile_prefix=str(prefix),
    )
    metric.process({}, [sample([0, 1])])
    assert metric.evaluate(1) == {}
    results = json.loads((tmp_path / 'test_dev.segm.json').read_text())
    assert [each['category_id'] for each in results] == [1, 2]


@pytest.mark.parametrize('key', ['lvis/segm_AP', 'lvis/bbox_AP', 'coco/segm_mAP'])
def test_more_of_an_ap_is_better_for_save_best_auto(key):
    hook = CheckpointHook(save_best='auto')
    hook._init_rule(hook.rules, [key])  # what mmengine does at the first validation
    assert hook.is_better_than[key](0.5, 0.4)
