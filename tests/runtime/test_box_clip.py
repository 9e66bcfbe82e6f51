"""Masks are cut off at their box."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mal_mm_runtime.box_clip import clip_to_box, fill_box

HW = (8, 10)
COORDINATES = st.floats(-3, 13, allow_nan=False)
REGION = np.ones(HW, dtype=bool)


def extent(box, tolerance=0.0, region=REGION, corner=(0, 0)):
    """First and last + 1 row and column of what is kept, on the image."""
    rows, columns = np.nonzero(clip_to_box(region, corner, np.array(box, dtype=float), tolerance))
    if not len(rows):
        return None
    top, left = corner
    return (
        *(columns.min() + left, rows.min() + top),
        *(columns.max() + 1 + left, rows.max() + 1 + top),
    )


@pytest.mark.parametrize(
    ('box', 'tolerance', 'kept'),
    [
        ([2, 1, 6, 4], 0, (2, 1, 6, 4)),
        ([2.4, 1.6, 6.4, 4.6], 0, (2, 2, 6, 5)),  # by the middles of pixels
        ([2.5, 1.5, 6.5, 4.5], 0, (2, 1, 7, 5)),  # on the middle is inside
        ([2, 1, 6, 4], 1, (1, 0, 7, 5)),
        ([2, 1, 6, 4], 0.4, (2, 1, 6, 4)),
        ([2, 1, 6, 4], 0.5, (1, 0, 7, 5)),
        ([2, 1, 6, 4], 99, (0, 0, 10, 8)),
        ([-1e9, -5, 1e18, 3], 0, (0, 0, 10, 3)),
        ([3.6, 1, 4.4, 4], 0, (3, 1, 5, 4)),  # no middle within: all that it touches
        ([3.1, 2.2, 3.3, 2.4], 0, (3, 2, 4, 3)),
        ([12, 1, 15, 4], 0, None),
    ],
)
def test_pixels_are_kept_whose_middle_lies_in_the_box(box, tolerance, kept):
    assert extent(box, tolerance) == kept


@pytest.mark.parametrize('corner', [(0, 0), (2, 3), (5, 1)])
def test_the_place_of_the_region_counts(corner):
    top, left = corner
    region = np.ones((HW[0] - top, HW[1] - left), dtype=bool)
    assert extent([4, 1, 7, 7], 0, region, corner) == (4, max(1, top), 7, 7)


def test_the_mask_itself_stays_as_it_is():
    region = np.eye(8, 10, dtype=bool)
    before = region.copy()
    clipped = clip_to_box(region, (0, 0), np.array([2.0, 0, 5, 9]), 0)
    np.testing.assert_array_equal(region, before)
    np.testing.assert_array_equal(clipped, region & (np.arange(10) >= 2) & (np.arange(10) < 5))


def test_an_empty_region_stays_empty():
    assert clip_to_box(np.zeros((0, 4), bool), (3, 3), np.array([1.0, 1, 5, 5]), 0).shape == (0, 4)


@settings(deadline=None)
@given(
    x=st.lists(COORDINATES, min_size=2, max_size=2, unique=True).map(sorted),
    y=st.lists(COORDINATES, min_size=2, max_size=2, unique=True).map(sorted),
    tolerance=st.floats(0, 3),
    more=st.floats(0, 3),
)
def test_what_is_kept_lies_in_the_box_and_grows_with_the_tolerance(x, y, tolerance, more):
    box = np.array([x[0], y[0], x[1], y[1]])
    kept = clip_to_box(REGION, (0, 0), box, tolerance)
    for axis, (low, high) in enumerate((y, x)):
        places = np.flatnonzero(kept.any(1 - axis))
        # at most half a pixel beyond, or the only pixels that the box touches
        assert ((places + 1 > low - tolerance) & (places < high + tolerance)).all()
        wide = high - low + 2 * tolerance > 1
        middles = places + 0.5
        if wide:
            assert (middles >= low - tolerance - 1e-9).all()
            assert (middles <= high + tolerance + 1e-9).all()
    looser = clip_to_box(REGION, (0, 0), box, tolerance + more)
    if min(x[1] - x[0], y[1] - y[0]) > 1:
        assert (looser | ~kept).all()


@settings(deadline=None)
@given(x=st.floats(0.01, 9.98), y=st.floats(0.01, 7.98), side=st.floats(1e-6, 0.01))
def test_a_box_smaller_than_a_pixel_keeps_one(x, y, side):
    kept = clip_to_box(REGION, (0, 0), np.array([x, y, x + side, y + side]), 0)
    assert 1 <= kept.sum() <= 4
    assert kept[int(y), int(x)]


def test_a_box_thinner_than_its_place_can_tell_still_has_a_pixel():
    thin = np.array([0.0, 1.0, 1.0, 1.0 + 5.7e-280])
    region, top, left = fill_box(thin, (30, 40))
    assert (region.sum(), top, left) == (1, 1, 0)
    beside, _, _ = fill_box(np.array([-9.0, 2.0, 0.0, 8.0]), (30, 40))
    assert not beside.size
