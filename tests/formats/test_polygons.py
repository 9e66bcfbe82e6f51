from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pycocotools import mask as mask_utils
from scipy import ndimage

from mal_mm.formats.polygons import (
    flat,
    keyhole,
    mask_to_polygons,
    one_ring,
    polygon_iou,
    trace,
    trace_well,
)
from mal_mm.formats.region_rle import encode_region

REGIONS = arrays(bool, st.tuples(st.integers(1, 12), st.integers(1, 12)))


@settings(max_examples=60)
@given(region=REGIONS)
def test_up_to_a_quarter_of_a_pixel_polygons_draw_the_same_mask(region):
    rle = encode_region(region, 3, 2, (20, 20))
    if region.any():
        assert polygon_iou(mask_to_polygons(region, 3, 2, 0.25), rle) == 1


def test_a_square_with_a_hole_is_traced_along_its_pixel_edges():
    region = np.ones((4, 5), bool)
    region[1:3, 2:4] = False
    ((outline, hole),) = trace(encode_region(region, 10, 20, (30, 40)), 0.25)
    assert sorted(map(tuple, outline)) == [(20, 10), (20, 14), (25, 10), (25, 14)]
    assert hole.min(0).tolist() == [22, 11] and hole.max(0).tolist() == [24, 13]


def test_a_keyhole_goes_in_and_back_along_one_line():
    square = np.array([[0, 0], [10, 0], [10, 10], [0, 10.0]])
    hole = np.array([[2, 3], [4, 3], [4, 5.0]])
    assert keyhole([square, hole]).tolist() == [
        *([0, 0], [2, 3], [4, 3], [4, 5], [2, 3], [0, 0]),
        *([10, 0], [10, 10], [0, 10]),
    ]


def test_polygons_of_a_record_are_taken_as_they_are_unless_they_overlap():
    apart = [[0.0, 0, 4, 0, 4, 4, 0, 4], [6.0, 6, 9, 6, 9, 9, 6, 9]]
    across = [[0.0, 0, 6, 0, 6, 6, 0, 6], [2.0, 2, 9, 2, 9, 9, 2, 9]]
    for polygons, taken in ((apart, True), (across, False)):
        rle = mask_utils.merge(mask_utils.frPyObjects(polygons, 10, 10))
        ring = one_ring(rle, polygons, 0.25)
        given_corners = {tuple(p[i : i + 2]) for p in polygons for i in range(0, len(p), 2)}
        assert (set(map(tuple, ring.tolist())) <= given_corners) is taken
        # filled by the even-odd rule, two overlapping rings in one would have a hole
        assert polygon_iou([ring.ravel().tolist()], rle) == 1


@pytest.mark.parametrize(('tolerance', 'least'), [(0.0, 1.0), (1.0, 0.97), (3.0, 0.9)])
def test_polygons_of_a_disc_give_the_disc_again(tolerance, least):
    y, x = np.mgrid[:60, :60]
    disc = (x - 30) ** 2 + (y - 28) ** 2 < 25**2
    polygons = mask_to_polygons(disc, 7, 5, tolerance)
    assert len(polygons) == 1
    rle = encode_region(disc, 7, 5, (80, 90))
    assert polygon_iou(polygons, rle) >= least


def test_a_small_mask_gets_less_tolerance_than_a_large_one():
    y, x = np.mgrid[:80, :80]
    plus = ((abs(x - 40) < 2) | (abs(y - 40) < 2)) & (abs(x - 40) < 6) & (abs(y - 40) < 6)
    disc = (x - 40) ** 2 + (y - 40) ** 2 < 30**2
    for region, same in ((plus, False), (disc, True)):
        rle = encode_region(region, 0, 0, (80, 80))
        rings = [[flat(keyhole(p)) for p in tracer(rle, 3)] for tracer in (trace, trace_well)]
        assert (rings[0] == rings[1]) is same
        assert polygon_iou(rings[1], rle) >= 0.9


def test_more_tolerance_means_fewer_points():
    y, x = np.mgrid[:60, :60]
    disc = (x - 30) ** 2 + (y - 28) ** 2 < 25**2
    lengths = [len(mask_to_polygons(disc, 0, 0, tolerance)[0]) for tolerance in (0, 1, 3)]
    assert lengths == sorted(lengths, reverse=True) and len(set(lengths)) == 3


@given(region=REGIONS)
def test_every_piece_becomes_a_polygon_of_three_points_or_more(region):
    polygons = mask_to_polygons(region, 0, 0, 0.5)
    assert len(polygons) == ndimage.label(region, np.ones((3, 3)))[1]
    assert all(len(polygon) >= 6 and len(polygon) % 2 == 0 for polygon in polygons)
