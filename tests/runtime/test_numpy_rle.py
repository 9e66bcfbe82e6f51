"""Run-length encoding without pycocotools."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from mal_mm.formats import region_rle
from mal_mm_runtime.rle import encode_region

pytestmark = pytest.mark.slow

shapes = st.tuples(st.integers(0, 9), st.integers(0, 9))


@given(
    region=arrays.arrays(bool, shapes),
    offset=st.tuples(st.integers(0, 5), st.integers(0, 300)),
    room=st.tuples(st.integers(1, 5), st.integers(1, 300)),
)
def test_a_region_is_encoded_as_pycocotools_does_it(region, offset, room):
    (h, w), (top, left) = region.shape, offset
    image_hw = top + h + room[0] - 1 or 1, left + w + room[1]
    expected = region_rle.encode_region(region, top, left, image_hw)
    assert encode_region(region, top, left, image_hw) == expected


def test_a_mask_that_fills_its_image_has_an_empty_first_run():
    full = np.ones((2, 3), dtype=bool)
    assert encode_region(full, 0, 0, (2, 3)) == {'size': [2, 3], 'counts': '06'}
