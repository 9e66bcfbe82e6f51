"""A file that people have corrected in part: their masks are the truth, a labeler's are not."""

from __future__ import annotations

import json

import numpy as np
import pytest
from coco_files import annotation

from mal_mm.evaluation import evaluate
from mal_mm.evaluation.retention import read_evaluation

pytestmark = pytest.mark.slow


def corrected() -> dict:
    masks = []
    for left in (0, 10, 20):
        mask = np.zeros((20, 40), bool)
        mask[5:15, left : left + 8] = True
        masks.append(mask)
    return dict(
        images=[dict(id=n, file_name=f'{n}.png', width=40, height=20) for n in (1, 2)],
        annotations=[
            annotation(1, 1, masks[0], mal_human=1),
            annotation(2, 1, masks[1]),  # drawn by a human from the start
            annotation(3, 2, masks[2], mal_quality=0.5),
            annotation(4, 2, masks[0], mal_human=1),
        ],
        categories=[dict(id=1, name='cat')],
    )


def test_a_labelers_mask_is_no_truth_where_humans_are_marked():
    result = evaluate(corrected(), corrected())
    assert result['counts']['evaluated'] == 3 and result['counts']['left_out'] == 1
    assert result['left_out'][0]['annotation_id'] == 3
    assert "a labeler's" in result['left_out'][0]['reason']


def test_two_files_of_labelers_can_still_be_compared():
    machine = corrected()
    for each in machine['annotations']:
        each.pop('mal_human', None)
        each['mal_quality'] = 0.5
    assert evaluate(machine, machine)['counts']['evaluated'] == 4


def test_retention_scores_results_on_the_images_that_humans_have_corrected(tmp_path):
    gt = corrected()
    results = [
        dict(image_id=a['image_id'], category_id=1, segmentation=a['segmentation'], score=0.9)
        for a in gt['annotations']
        if a['image_id'] == 1
    ]
    # on the other image it finds something else: it would cost half of the AP
    results.append(dict(results[0], image_id=2, score=0.95))
    (tmp_path / 'gt.json').write_text(json.dumps(gt))
    (tmp_path / 'r.segm.json').write_text(json.dumps(results))
    found = read_evaluation(tmp_path / 'r.segm.json', gt_ann=tmp_path / 'gt.json')
    assert found.scores['segm']['AP'] == pytest.approx(1)
    assert '1 of 2 images that humans have corrected' in found.source
    gt['annotations'][1]['mal_quality'] = 0.5
    (tmp_path / 'gt.json').write_text(json.dumps(gt))
    with pytest.raises(ValueError, match='confirm whole'):
        read_evaluation(tmp_path / 'r.segm.json', gt_ann=tmp_path / 'gt.json')
