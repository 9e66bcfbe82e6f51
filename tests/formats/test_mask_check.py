"""What counts as a mask: for --only-missing, for training, and after a skip."""

from __future__ import annotations

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from mal_mm.formats.mask_check import NONE, mask_problem
from mal_mm.labeling import Selection, make_plan

H, W = 20, 30
IMAGE = {'id': 1, 'file_name': 'a.png', 'width': W, 'height': H}
pixels = np.zeros((H, W), np.uint8, order='F')
pixels[3:9, 4:20] = 1
RLE = coco_mask.encode(pixels)
RLE['counts'] = RLE['counts'].decode()

MASKS = [
    RLE,
    {'size': [H, W], 'counts': [4 * H + 3, 6, H * W - 4 * H - 9]},
    [[1, 1, 9, 1, 9, 9]],
    [[1, 1], [1, 1, 9, 1, 9, 9]],
    [[1.5, 1.5, 9.25, 1, 9, 9.75, 2, 8]],
]
NO_MASKS = [
    None,
    [],
    {},
    '',
    [[]],
    [[], []],
    [[1, 1]],
    [[1, 1, 5, 5]],
    [[0, 0, 0, 0, 0, 0]],
    [[100, 100, 120, 100, 120, 120]],  # beside the image
    [[1, 1, 9, 1, 9]],
    [[1, 1, 9, 1, 9, float('nan')]],
    [['1', '1', '9', '1', '9', '9']],
    [1, 1, 9, 1, 9, 9],
    'text',
    {'size': [H, W], 'counts': [H * W]},
    {'size': [H, W], 'counts': [0, 0, H * W]},
    {'size': [1, 1], 'counts': [1]},
    {'size': [W, H], 'counts': RLE['counts']},
    {'size': [H, W], 'counts': f'b{RLE["counts"]!r}'},
    {'size': [H, W + 1], 'counts': [40, 20, H * (W + 1) - 60]},
    {'size': [2 * H, 2 * W], 'counts': [40, 20, 4 * H * W - 60]},
    {'size': [H, W], 'counts': [40, 20]},
    {'size': [H, W], 'counts': [40, -20, H * W - 20]},
    {'size': [H, W]},
    {'counts': RLE['counts']},
    {'size': [H, W], 'counts': RLE['counts'][:-1]},
    {'size': [H, W], 'counts': ''},
    {'size': [H, W], 'counts': None},
]


def is_left_alone(segmentation: object, **fields: object) -> bool:
    annotation = {'id': 1, 'image_id': 1, 'bbox': [1, 1, 9, 9], 'segmentation': segmentation}
    plan = make_plan({'images': [IMAGE]}, [{**annotation, **fields}], 'a', Selection(True))
    return plan.passed == 1


@pytest.mark.parametrize('segmentation', MASKS, ids=str)
def test_masks_are_masks(segmentation):
    assert mask_problem({'segmentation': segmentation}, IMAGE) is None
    assert is_left_alone(segmentation)
    # the image may not be known
    assert mask_problem({'segmentation': segmentation}) is None


@pytest.mark.parametrize('segmentation', NO_MASKS, ids=str)
def test_what_is_none_is_labelled_with_only_missing(segmentation):
    assert mask_problem({'segmentation': segmentation}, IMAGE)
    assert not is_left_alone(segmentation)


def test_what_was_skipped_is_tried_again_though_it_has_a_mask():
    assert not is_left_alone(RLE, mal_skipped='no such image')


@pytest.mark.parametrize('segmentation', MASKS, ids=str)
def test_a_mask_of_an_image_larger_than_any_is_none(segmentation):
    assert mask_problem({'segmentation': segmentation}, {**IMAGE, 'width': 2**70})


@pytest.mark.parametrize('segmentation', [[], [[]]], ids=str)
def test_what_has_no_form_of_a_mask_is_none_in_an_image_of_any_size(segmentation):
    for width in (40, 2**70, None):
        image = dict(width=width, height=30)
        assert mask_problem(dict(segmentation=segmentation), image) == NONE
