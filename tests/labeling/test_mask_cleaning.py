from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from mal_mm.labeling.mask_cleaning import fill_holes, keep_largest_component

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
