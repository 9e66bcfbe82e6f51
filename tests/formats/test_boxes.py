import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mal_mm.formats import box_problem

IMAGES = {3: {'id': 3, 'width': 10, 'height': 8}, 4: {'id': 4}, 5: {'width': None, 'height': '8'}}
CATEGORIES = {7: {'id': 7}}


def problem(bbox=(1, 1, 2, 2), image_id=3, category_id=7, categories=CATEGORIES):
    annotation = {'bbox': bbox, 'image_id': image_id, 'category_id': category_id}
    return box_problem(annotation, IMAGES, categories)


@pytest.mark.parametrize(
    'bbox',
    [
        [0, 0, 10, 8],
        [-5, -5, 100, 100],
        [9.99, 7.99, 5, 5],
        [-1.5, 2, 1.51, 1],
        [3, 3, 0.01, 0.01],
        (1, 2, 3, 4),
    ],
)
def test_boxes_that_touch_the_image_are_usable(bbox):
    assert problem(bbox) is None


@pytest.mark.parametrize(
    ('bbox', 'words'),
    [
        (None, 'bbox is missing'),
        ([], 'must be four numbers'),
        ([1, 2, 3], 'must be four numbers'),
        ([1, 2, 3, 4, 5], 'must be four numbers'),
        (['1', '2', '3', '4'], 'must be four numbers'),
        ([1, 2, 3, '4'], 'must be four numbers'),
        ([1, 2, None, 4], 'must be four numbers'),
        ([[1], 2, 3, 4], 'must be four numbers'),
        ('abcd', 'must be four numbers'),
        ({'x': 1, 'y': 1, 'w': 1, 'h': 1}, 'must be four numbers'),
        (7, 'must be four numbers'),
        ([math.nan, 2, 3, 4], 'NaN or infinity'),
        ([1, 2, 3, math.nan], 'NaN or infinity'),
        ([-math.inf, 2, math.inf, 4], 'NaN or infinity'),
        ([1, math.inf, 3, 4], 'NaN or infinity'),
        ([1, 2, 0, 4], 'zero width or height'),
        ([1, 2, 3, 0.0], 'zero width or height'),
        ([1, 2, -3, 0], 'negative width or height'),
        ([1, 2, 3, -0.5], 'negative width or height'),
        ([10, 2, 3, 4], 'wholly outside its 10 x 8 image'),
        ([1, 8, 3, 4], 'wholly outside'),
        ([-3, 2, 3, 4], 'wholly outside'),
        ([1, -9, 3, 4], 'wholly outside'),
    ],
)
def test_unusable_boxes_are_described(bbox, words):
    assert words in problem(bbox)


def test_an_annotation_without_a_box_is_described():
    assert box_problem({'image_id': 3, 'category_id': 7}, IMAGES, CATEGORIES) == 'bbox is missing'


@pytest.mark.parametrize('image_id', [99, '3', [3], {}])
def test_unknown_images_are_described(image_id):
    assert "is not among the file's images" in problem(image_id=image_id)


@pytest.mark.parametrize('category_id', [0, '7', [7]])
def test_unknown_categories_are_described(category_id):
    assert "is not among the file's categories" in problem(category_id=category_id)


def test_missing_references_are_described():
    assert box_problem({'bbox': [1, 1, 2, 2]}, IMAGES, CATEGORIES) == 'image_id is missing'
    annotation = {'bbox': [1, 1, 2, 2], 'image_id': 3}
    assert box_problem(annotation, IMAGES, CATEGORIES) == 'category_id is missing'
    assert box_problem(annotation, IMAGES) is None


@pytest.mark.parametrize('image_id', [4, 5])
def test_an_image_of_unknown_size_is_not_held_against_its_boxes(image_id):
    assert problem([500, 500, 2, 2], image_id) is None
    assert 'wholly outside its image' in problem([-5, 0, 2, 2], image_id)


NUMBERS = st.one_of(
    st.floats(), st.integers(-20, 20), st.sampled_from([10**400, '1', None, math.nan])
)


@given(st.one_of(NUMBERS, st.lists(NUMBERS, max_size=5), st.tuples(*[NUMBERS] * 4).map(list)))
def test_a_box_is_usable_exactly_when_it_overlaps_the_image(bbox):
    try:
        x, y, w, h = (float(v) if isinstance(v, (int, float)) else math.nan for v in bbox)
        finite = np.isfinite([x, y, w, h]).all()
        overlaps = w > 0 and h > 0 and x + w > 0 and y + h > 0 and x < 10 and y < 8
        usable = bool(finite and overlaps)
    except (TypeError, ValueError, OverflowError):  # 10**400 is no float
        usable = False
    assert (problem(bbox) is None) == usable
