"""Ids of any JSON kind give the scores that small whole numbers give."""

from __future__ import annotations

import copy
import importlib.util

import numpy as np
import pytest
from mmdet.datasets.api_wrappers import COCOeval
from mmdet.evaluation.metrics import coco_metric
from test_fast_coco_eval import random_set, run

from mal_mm.evaluation.exact_ids import with_exact_ids
from mal_mm.evaluation.fast_coco_eval import fast_coco_eval, use_fast_coco_eval

# how each id of a file is written instead
IDS = {
    'beyond 2 ** 53': lambda n: 2**53 + n,
    'beyond 2 ** 63': lambda n: 2**64 + n,
    'texts': lambda n: f'{n:05d}.jpg',
    'texts of numbers': str,
    'texts and numbers': lambda n: n if n % 2 else str(n),
    'negative': lambda n: -n - 1,
    'from 0': lambda n: n - 1,
}
EVALUATORS = {'pycocotools': lambda: with_exact_ids(COCOeval)}
if importlib.util.find_spec('faster_coco_eval'):
    EVALUATORS['faster-coco-eval'] = fast_coco_eval


def renamed(data: dict, found: list, name) -> tuple[dict, list]:
    data, found = copy.deepcopy((data, found))
    for record in [*data['images'], *data['categories'], *data['annotations']]:
        record['id'] = name(record['id'])
    for record in [*data['annotations'], *found]:
        for key in ('image_id', 'category_id'):
            record[key] = name(record[key])
    return data, found


@pytest.mark.parametrize('kind', ['segm', 'bbox'])
@pytest.mark.parametrize('evaluator', EVALUATORS)
@pytest.mark.parametrize('ids', IDS)
def test_scores_do_not_depend_on_what_ids_are(ids, evaluator, kind):
    data, found = random_set(1)
    exact = run(COCOeval, data, found, kind)
    other = run(EVALUATORS[evaluator](), *renamed(data, found, IDS[ids]), kind)
    assert 0 < exact.stats[0] < 1
    np.testing.assert_allclose(other.stats, exact.stats, rtol=0, atol=1e-9)
    np.testing.assert_allclose(other.eval['precision'], exact.eval['precision'], atol=1e-9)


def test_mmdets_coco_metric_takes_it_with_and_without_the_package(monkeypatch):
    for spec in (None, importlib.util.find_spec('json')):
        monkeypatch.setattr(coco_metric, 'COCOeval', COCOeval)
        with monkeypatch.context() as patch:
            if spec is None:
                patch.setattr(importlib.util, 'find_spec', lambda name: None)
            use_fast_coco_eval()
        data, found = random_set(2)
        exact = run(COCOeval, data, found, 'bbox')
        other = run(coco_metric.COCOeval, *renamed(data, found, str), 'bbox')
        np.testing.assert_allclose(other.stats, exact.stats, rtol=0, atol=1e-9)
