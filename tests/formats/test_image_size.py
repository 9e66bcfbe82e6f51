"""One rule for the size in an image's record, kept by labeling, training and evaluation."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from PIL import Image
from sharp_labeler import blotches, sharp_model

from mal_mm.datasets import CocoBoxDataset, RoIDataset
from mal_mm.evaluation import evaluate
from mal_mm.formats import read_coco
from mal_mm.formats.image_size import check_found_size, stated_size
from mal_mm.labeling import LabelingEngine, label_coco

W, H = 60, 45
# what stands there -> what it says: right, nothing, wrong
STATED = [
    (W, 'right'),
    (float(W), 'right'),
    (None, 'nothing'),
    (str(W), 'nothing'),
    (-1, 'nothing'),
    (0, 'nothing'),
    (0.5, 'nothing'),
    (True, 'nothing'),
    ([W], 'nothing'),
    (math.nan, 'nothing'),
    (math.inf, 'nothing'),
    (W + 1, 'wrong'),
    (1, 'wrong'),
    (2**31, 'wrong'),
    (2**70, 'wrong'),
]


@pytest.fixture
def data(tmp_path):
    """data(width) -> file of one image with one box whose record gives that width."""
    Image.fromarray(blotches(H, W)).save(tmp_path / 'a.png')

    def make(width: object):
        content = {
            'images': [{'id': 1, 'file_name': 'a.png', 'width': width, 'height': H}],
            'annotations': [{'id': 1, 'image_id': 1, 'category_id': 1, 'bbox': [0, 5, 30, 20]}],
            'categories': [{'id': 1, 'name': 'x'}],
        }
        (tmp_path / 'ann.json').write_text(json.dumps(content))
        return tmp_path / 'ann.json'

    return make


@pytest.mark.parametrize(('width', 'says'), STATED, ids=str)
def test_labeling_training_and_evaluation_agree(data, width, says, tmp_path):
    path = data(width)
    known = {'right': W, 'nothing': None, 'wrong': width}[says]
    assert stated_size(read_coco(path)['images'][0]) == (known, H)

    labelled = read_coco(path)
    engine = LabelingEngine(sharp_model(), crop_size=32, mask_threshold=0.5)
    summary = label_coco(labelled, tmp_path, engine)
    accepted = says != 'wrong'
    assert (summary.masks, len(summary.skips)) == (int(accepted), int(not accepted))
    if not accepted:
        assert 'pixels but its record says' in summary.skips[0].reason

    dataset = RoIDataset(
        CocoBoxDataset(ann_file=str(path), data_prefix={'img': str(tmp_path)}),
        [dict(type='LoadImageFromFile')],
        max_refetch=0,
    )
    if accepted:
        assert dataset[0]['img'].shape == (H, W, 3)
        human = read_coco(path)
        human['annotations'][0]['segmentation'] = labelled['annotations'][0]['segmentation']
        scores = evaluate(labelled, human)
        assert scores['masks']['mean_iou'] == 1
    else:
        with pytest.raises(OSError, match='cannot be read'):
            dataset[0]


def test_a_found_size_has_to_be_the_stated_one():
    check_found_size('a.png', (None, 4), (3, 4))
    with pytest.raises(ValueError, match=r'a\.png is 3 x 4 pixels but its record says 3 x 5'):
        check_found_size('a.png', (None, 5), (3, 4))


def test_phase_two_reads_crops_of_the_stated_size_alone(data, tmp_path):
    from mal_mm.datasets import LoadAnyImage

    path = str(tmp_path / 'a.png')
    data(W)
    load = LoadAnyImage(skip_unreadable=True)
    assert load(dict(img_path=path, width=W, height=H))['img'].shape == (H, W, 3)
    assert load(dict(img_path=path, width=H, height=W)) is None
    np.testing.assert_array_equal(load(dict(img_path=path))['img_shape'], (H, W))
