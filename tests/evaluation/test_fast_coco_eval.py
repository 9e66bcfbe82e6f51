"""faster-coco-eval in the place of pycocotools' COCOeval: the same numbers."""

from __future__ import annotations

import copy

import numpy as np
import pytest
from mmdet.datasets.api_wrappers import COCO, COCOeval
from mmdet.evaluation.metrics import coco_metric
from pycocotools import mask as coco_mask

from mal_mm.evaluation.fast_coco_eval import fast_coco_eval, use_fast_coco_eval

pytest.importorskip('faster_coco_eval')
SIDE = 128
CATEGORIES = (5, 10, 15, 20)  # the last without ground truth


def random_set(seed, num_images=6, num_false=20):
    """Crowds, ties of scores, empty images, RLE and polygons; more than 100 detections."""
    rng = np.random.default_rng(seed)

    def rectangle():
        w, h = rng.integers(1, SIDE, 2) // rng.choice([1, 6]) + 1
        x, y = rng.integers(0, SIDE - w + 1), rng.integers(0, SIDE - h + 1)
        return [int(value) for value in (x, y, w, h)]

    def rle(box):
        x, y, w, h = box
        mask = np.zeros((SIDE, SIDE), order='F', dtype=np.uint8)
        mask[y : y + h, x : x + w] = 1
        encoded = coco_mask.encode(mask)
        return {**encoded, 'counts': encoded['counts'].decode()}

    annotations, found = [], []
    for image_id in range(3, 3 + num_images):
        for _ in range(rng.integers(0, 6)):
            box, category_id = rectangle(), int(rng.choice(CATEGORIES[:3]))
            x, y, w, h = box
            polygon = [[x, y, x + w, y + 0.3 * h, x + 0.6 * w, y + h]]
            crowd = int(rng.random() < 0.15)
            where = {'image_id': image_id, 'category_id': category_id}
            annotations.append(
                {
                    **where,
                    'id': len(annotations) + 1,
                    'bbox': box,
                    'area': w * h,
                    'iscrowd': crowd,
                    'segmentation': rle(box) if crowd or rng.random() < 0.5 else polygon,
                }
            )
            near = [int(v) for v in np.clip(np.array(box) + rng.integers(-2, 3, 4), 1, SIDE)]
            found.append({**where, 'bbox': near, 'segmentation': rle(near)})
        for _ in range(num_false):
            box, category_id = rectangle(), int(rng.choice(CATEGORIES))
            found.append({'image_id': image_id, 'category_id': category_id, 'bbox': box})
            found[-1]['segmentation'] = rle(box)
    for each in found:
        each['score'] = float(np.round(rng.random(), 2))
    images = [{'id': i, 'height': SIDE, 'width': SIDE} for i in range(3, 4 + num_images)]
    categories = [{'id': i, 'name': str(i)} for i in CATEGORIES]
    return {'images': images, 'annotations': annotations, 'categories': categories}, found


def run(evaluator, data, found, kind):
    """As CocoMetric does it, which takes 100, 300, 1000 detections of an image."""
    truth = COCO()
    truth.dataset = copy.deepcopy(data)
    truth.createIndex()
    # CocoMetric takes the boxes out of mask results, since they would give the area
    drop = {'bbox'} if kind == 'segm' else set()
    results = truth.loadRes([{k: v for k, v in each.items() if k not in drop} for each in found])
    coco_eval = evaluator(truth, results, kind)
    coco_eval.params.catIds = truth.getCatIds()
    coco_eval.params.imgIds = truth.getImgIds()
    coco_eval.params.maxDets = [100, 300, 1000]
    coco_eval.evaluate()
    coco_eval.accumulate()
    coco_eval.summarize()
    return coco_eval


@pytest.mark.parametrize('seed', range(6))
@pytest.mark.parametrize('kind', ['segm', 'bbox'])
def test_scores_are_those_of_pycocotools(seed, kind):
    crowded = seed == 0
    data, found = random_set(seed, 1 if crowded else 6, 600 if crowded else 20)
    exact, fast = (run(each, data, found, kind) for each in (COCOeval, fast_coco_eval()))
    assert exact.stats[1] > 0
    np.testing.assert_allclose(fast.stats, exact.stats, rtol=0, atol=1e-9)
    for name in ('precision', 'recall'):
        np.testing.assert_allclose(fast.eval[name], exact.eval[name], rtol=0, atol=1e-9)


def test_the_package_alone_would_count_more_than_100_detections():
    from faster_coco_eval import COCOeval_faster

    data, found = random_set(0, 1, 600)
    exact, package = (run(each, data, found, 'bbox') for each in (COCOeval, COCOeval_faster))
    assert len(found) > 400
    assert package.stats[0] != pytest.approx(exact.stats[0], abs=1e-4)


def test_mmdets_coco_metric_takes_it(monkeypatch):
    monkeypatch.setattr(coco_metric, 'COCOeval', COCOeval)
    assert use_fast_coco_eval()
    assert coco_metric.COCOeval.__name__ == 'FastCOCOeval'
