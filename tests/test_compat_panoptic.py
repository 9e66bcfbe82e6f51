"""The stand-in for panopticapi: mmdet's metric on it."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest
import torch
from mmdet.evaluation.metrics import CocoPanopticMetric

from mal_mm.compat.panoptic_api import id2rgb, provide_panopticapi, rgb2id

H, W = 4, 10
THING, STUFF, ABSENT = 7, 9, 11  # ids of categories
CLASSES = ('cat', 'sky', 'dog')


def test_ids_and_colours_are_little_endian_and_inverse():
    ids = np.array([[0, 255, 256], [65536, 65536 * 3 + 256 * 2 + 1, 256**3 - 1]])
    colours = id2rgb(ids)
    assert colours[1, 1].tolist() == [1, 2, 3] and colours.dtype == np.uint8
    assert rgb2id(colours).tolist() == ids.tolist()


def test_one_that_is_there_stays():
    assert not provide_panopticapi()


@pytest.fixture
def scores(tmp_path):
    """Scores of a class map (H, W), class + 1000 * instance, against: cat left, sky right."""
    truth = np.full((H, W), 70000)
    truth[:, 5:] = 300
    cv2.imwrite(str(tmp_path / 'a.png'), id2rgb(truth)[..., ::-1])
    segments = [
        dict(id=70000, category_id=THING, area=20, iscrowd=0, bbox=[0, 0, 5, H]),
        dict(id=300, category_id=STUFF, area=20, iscrowd=0, bbox=[5, 0, 5, H]),
    ]
    categories = [
        dict(id=number, name=name, isthing=int(name != 'sky'))
        for number, name in zip((THING, STUFF, ABSENT), CLASSES, strict=True)
    ]
    content = dict(
        images=[dict(id=1, file_name='a.jpg', height=H, width=W)],
        annotations=[dict(image_id=1, file_name='a.png', segments_info=segments)],
        categories=categories,
    )
    (tmp_path / 'panoptic.json').write_text(json.dumps(content))
    metric = CocoPanopticMetric(str(tmp_path / 'panoptic.json'), seg_prefix=str(tmp_path))
    metric.dataset_meta = dict(classes=CLASSES, thing_classes=('cat', 'dog'))

    def score(predicted: np.ndarray) -> dict[str, float]:
        sample = dict(
            img_id=1,
            img_path='a.jpg',
            ori_shape=(H, W),
            pred_panoptic_seg=dict(sem_seg=torch.from_numpy(predicted)[None]),
        )
        metric.process({}, [sample])
        return {k.split('/')[-1]: round(v, 4) for k, v in metric.evaluate(1).items()}

    return score


def test_a_perfect_prediction_scores_100(scores):
    predicted = np.full((H, W), 1000)
    predicted[:, 5:] = 1
    found = scores(predicted)
    assert {found[name] for name in ('PQ', 'SQ', 'RQ', 'PQ_th', 'PQ_st')} == {100}


def test_quality_of_a_wrong_prediction_is_the_one_worked_out_by_hand(scores):
    predicted = np.full((H, W), len(CLASSES))  # void
    predicted[:, :4] = 1000  # cat: IoU 4 / 5
    predicted[:, 5:7] = 1  # sky: IoU 2 / 5, missed and false
    predicted[:, 7] = 2002  # a dog: false, of a class without truth
    found = scores(predicted)
    # over cat (0.8), sky (0), dog (0); things: cat and dog
    assert found['PQ'] == round(100 * 0.8 / 3, 4)
    assert (found['PQ_th'], found['SQ_th'], found['RQ_th']) == (40, 40, 50)
    assert (found['PQ_st'], found['RQ_st']) == (0, 0)
