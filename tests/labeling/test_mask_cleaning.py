from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from mal_mm.formats.region_rle import encode_region
from mal_mm.labeling.mask_cleaning import (
    fill_holes,
    keep_largest_component,
    mask_to_polygons,
    polygon_iou,
)

REGIONS = arrays(bool, st.tuples(st.integers(1, 12), st.integers(1, 12)))


def picture(*rows: str) -> np.ndarray:
    return np.array([[char == '#' for char in row] for row in rows])


@given(region=REGIONS)
def test_the_largest_component_is_scipys(region):
    labels, count = ndimage.label(region, np.ones((3, 3)))
    found = keep_largest_component(region)
    sizes = [(labels == n).sum() for n in range(1, count + 1)]
    assert found.sum() == max(sizes, default=0)
    assert (found <= region).all()
    assert ndimage.label(found, np.ones((3, 3)))[1] == min(count, 1)


@given(region=REGIONS)
def test_filled_holes_are_scipys(region):
    np.testing.assert_array_equal(fill_holes(region), ndimage.binary_fill_holes(region))


def test_a_ring_becomes_a_disc_and_its_island_goes():
    ring = picture('###..', '#.#.#', '###..')
    assert keep_largest_component(ring).tolist() == picture('###..', '#.#..', '###..').tolist()
    assert fill_holes(ring).tolist() == picture('###..', '###.#', '###..').tolist()


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
    assert len(polygons) == ndimage.label(fill_holes(region), np.ones((3, 3)))[1]
    assert all(len(polygon) >= 6 and len(polygon) % 2 == 0 for polygon in polygons)
