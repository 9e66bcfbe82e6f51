"""Masks as polygons."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from mal_mm.formats.polygons import mask_to_polygons, polygon_iou
from mal_mm.formats.region_rle import encode_region

REGIONS = arrays(bool, st.tuples(st.integers(1, 12), st.integers(1, 12)))


@pytest.mark.parametrize(('tolerance', 'least'), [(0.0, 0.99), (1.0, 0.97), (3.0, 0.9)])
def test_polygons_of_a_disc_give_the_disc_again(tolerance, least):
    y, x = np.mgrid[:60, :60]
    disc = (x - 30) ** 2 + (y - 28) ** 2 < 25**2
    polygons = mask_to_polygons(disc, 7, 5, tolerance)
    assert len(polygons) == 1
    rle = encode_region(disc, 7, 5, (80, 90))
    assert polygon_iou(polygons, rle) >= least


def test_more_tolerance_means_fewer_points():
    y, x = np.mgrid[:60, :60]
    disc = (x - 30) ** 2 + (y - 28) ** 2 < 25**2
    lengths = [len(mask_to_polygons(disc, 0, 0, tolerance)[0]) for tolerance in (0, 1, 3)]
    assert lengths == sorted(lengths, reverse=True) and len(set(lengths)) == 3


@given(region=REGIONS)
def test_every_piece_becomes_a_polygon_of_three_points_or_more(region):
    polygons = mask_to_polygons(region, 0, 0, 0.5)
    assert len(polygons) == ndimage.label(ndimage.binary_fill_holes(region), np.ones((3, 3)))[1]
    assert all(len(polygon) >= 6 and len(polygon) % 2 == 0 for polygon in polygons)
