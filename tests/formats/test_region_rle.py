import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as coco_mask

from mal_mm.formats import check_rle
from mal_mm.labeling import encode_region


def encoded_whole(region, top, left, image_hw):
    """The plain way: draw the whole image and let pycocotools encode it."""
    image = np.zeros(image_hw, dtype=np.uint8, order='F')
    image[top : top + region.shape[0], left : left + region.shape[1]] = region
    rle = coco_mask.encode(image)
    return {'size': rle['size'], 'counts': rle['counts'].decode('ascii')}


@st.composite
def regions(draw):
    height, width = draw(st.integers(1, 12)), draw(st.integers(1, 12))
    full_height = draw(st.booleans())
    top = 0 if full_height else draw(st.integers(0, height))
    h = height if full_height else draw(st.integers(0, height - top))
    left = draw(st.integers(0, width))
    w = draw(st.integers(0, width - left))
    share = draw(st.sampled_from([0, 0.5, 0.9, 1]))  # 1: full-height columns touch
    rng = np.random.default_rng(draw(st.integers(0, 999)))
    return rng.random((h, w)) < share, top, left, (height, width)


@settings(max_examples=200, deadline=None)
@given(regions())
def test_a_region_is_encoded_as_pycocotools_encodes_the_whole_image(case):
    rle = encode_region(*case)
    assert rle == encoded_whole(*case)
    check_rle(rle)


def test_full_height_columns_become_one_run():
    # columns 1 and 2 of a 3 x 4 image: 3 off, 6 on, 3 off
    rle = encode_region(np.ones((3, 2), dtype=bool), 0, 1, (3, 4))
    assert check_rle(rle).tolist() == [3, 6, 3]


@pytest.mark.parametrize(
    ('shape', 'top', 'left'), [((0, 0), 0, 0), ((0, 3), 2, 1), ((2, 0), 0, 4)]
)
def test_an_empty_region_is_an_empty_mask(shape, top, left):
    rle = encode_region(np.zeros(shape, dtype=bool), top, left, (3, 4))
    assert check_rle(rle).tolist() == [12]


@pytest.mark.parametrize(('top', 'left'), [(-1, 0), (0, -1), (2, 0), (0, 3)])
def test_a_region_beyond_the_image_is_refused(top, left):
    with pytest.raises(ValueError, match=r'a 2 x 2 region at .* does not lie in a 3 x 4 image'):
        encode_region(np.ones((2, 2), dtype=bool), top, left, (3, 4))
