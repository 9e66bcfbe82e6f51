import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pycocotools import mask as mask_utils

from mal_mm.formats import (
    AnnotationError,
    annotation_to_rle,
    check_rle,
    rle_from_edges,
    rle_to_str_counts,
)

MASKS = st.tuples(st.integers(1, 40), st.integers(1, 12)).flatmap(
    lambda size: arrays(np.uint8, size, elements=st.integers(0, 1))
)


def encode(mask):
    return mask_utils.encode(np.asfortranarray(mask))


def runs_of(mask):
    """Run lengths down the columns, counted one pixel at a time."""
    runs, value = [0], 0
    for pixel in mask.T.ravel():
        if pixel != value:
            runs.append(0)
            value = pixel
        runs[-1] += 1
    return runs


@settings(max_examples=60, deadline=None)
@given(MASKS)
def test_every_form_of_a_mask_gives_the_same_rle(mask):
    height, width = mask.shape
    compressed = encode(mask)
    uncompressed = {'size': [height, width], 'counts': runs_of(mask)}
    assert check_rle(compressed).tolist() == runs_of(mask)
    for rle in (compressed, rle_to_str_counts(compressed), uncompressed):
        got = annotation_to_rle({'segmentation': rle}, height, width)
        assert np.array_equal(mask_utils.decode(got), mask)
        assert rle_to_str_counts(rle) == rle_to_str_counts(compressed)


def test_run_lengths_of_large_masks_are_read(tmp_path):
    mask = np.zeros((3000, 2000), np.uint8)
    mask[17:2900, 700:703] = 1
    mask[5, 1990] = 1
    assert check_rle(encode(mask)).tolist() == runs_of(mask)


def test_counts_become_str_and_sizes_int():
    rle = rle_to_str_counts({'size': np.array([2, 3]), 'counts': b'24'})
    assert rle == {'size': [2, 3], 'counts': '24'}
    assert type(rle['size'][0]) is int


def test_a_polygon_fills_the_pixels_it_covers():
    rle = annotation_to_rle({'segmentation': [[1, 1, 4, 1, 4, 3, 1, 3]]}, 5, 6)
    expected = np.zeros((5, 6))
    expected[1:3, 1:4] = 1
    assert np.array_equal(mask_utils.decode(rle), expected)


def test_several_polygons_are_united():
    square = [0, 0, 2, 0, 2, 2, 0, 2]
    shifted = [v + 1 for v in square]
    rle = annotation_to_rle({'segmentation': [square, shifted]}, 4, 4)
    assert mask_utils.area(rle) == 7


@pytest.mark.parametrize('segmentation', [None, [], {}, '', [[]], [[1, 1, 5, 5]], [[1, 1], []]])
def test_no_area_means_no_mask(segmentation):
    assert annotation_to_rle({'segmentation': segmentation}, 8, 8) is None
    assert annotation_to_rle({}, 8, 8) is None


def test_a_polygon_of_two_points_is_not_taken_for_a_box():
    triangle = [0, 0, 4, 0, 0, 4]
    alone = annotation_to_rle({'segmentation': [triangle]}, 8, 8)
    beside = annotation_to_rle({'segmentation': [[5, 5, 3, 3], triangle]}, 8, 8)
    assert alone == beside


@pytest.mark.parametrize(
    ('segmentation', 'words'),
    [
        ([1, 2, 3, 4, 5, 6], 'list of polygons'),
        ('abc', 'list of polygons'),
        ([[1, 2, 3, 4, 5, 6, 7]], 'even number'),
        ([[1, 2, 3, 4, 5, float('nan')]], 'finite'),
        ([[1, 2, 3, 4, 5, 1e12]], 'near the image'),
        ([['1', 2, 3, 4, 5, 6]], 'even number'),
        ({'counts': '04'}, 'size must be'),
        ({'size': [2], 'counts': '04'}, 'size must be'),
        ({'size': [2, 0], 'counts': '04'}, 'size must be'),
        ({'size': [2.0, 2], 'counts': '04'}, 'size must be'),
        ({'size': [10**6, 10**6], 'counts': '04'}, 'size must be'),
        ({'size': [2, 2]}, 'string or a list of whole numbers'),
        ({'size': [2, 2], 'counts': [0.0, 4.0]}, 'string or a list of whole numbers'),
        ({'size': [2, 2], 'counts': [[0], [1, 2]]}, 'string or a list of whole numbers'),
        ({'size': [2, 2], 'counts': [2, -1, 3]}, 'negative run'),
        ({'size': [2, 2], 'counts': [1, 2]}, 'covers 3 pixels, its size 2 x 2'),
        ({'size': [2, 2], 'counts': '03'}, 'covers 3 pixels, its size 2 x 2'),
        ({'size': [2, 2], 'counts': '0d'}, 'cut short or not in the COCO encoding'),
        ({'size': [2, 2], 'counts': ''}, 'cut short or not in the COCO encoding'),
        ({'size': [2, 2], 'counts': 'é4'}, 'cut short or not in the COCO encoding'),
        ({'size': [2, 2], 'counts': '4p~'}, 'cut short or not in the COCO encoding'),
        ({'size': [2, 2], 'counts': 'oooooooooo0'}, 'beyond 32 bits'),
        ({'size': [2, 3], 'counts': [6]}, 'the mask is 2 x 3 (height x width), its image 2 x 2'),
    ],
)
def test_damaged_masks_are_refused_with_the_annotation_named(segmentation, words):
    with pytest.raises(AnnotationError) as caught:
        annotation_to_rle({'id': 12, 'segmentation': segmentation}, 2, 2)
    assert str(caught.value).startswith('annotation 12: ')
    assert words in str(caught.value)


def test_an_rle_brings_its_own_size_but_a_polygon_needs_the_images():
    assert annotation_to_rle({'segmentation': {'size': [2, 2], 'counts': [4]}}) is not None
    with pytest.raises(AnnotationError, match="polygons need the image's height and width"):
        annotation_to_rle({'segmentation': [[0, 0, 1, 0, 1, 1]]})


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=12), st.integers(1, 6), st.integers(1, 6))
def test_random_bytes_are_refused_or_decoded_as_pycocotools_does(counts, height, width):
    rle = {'size': [height, width], 'counts': counts}
    try:
        runs = check_rle(rle)
    except AnnotationError:
        return
    mask = mask_utils.decode(rle)
    expected = np.repeat(np.arange(len(runs)) % 2, runs).reshape(width, height).T
    assert np.array_equal(mask, expected)


def test_runs_of_no_pixels_are_taken_out():
    # 2 off, none on, 1 off, 3 on, none off, 1 on, 2 off
    rle = {'size': [3, 3], 'counts': [2, 0, 1, 3, 0, 1, 2, 0]}
    assert check_rle(annotation_to_rle({'segmentation': rle})).tolist() == [3, 4, 2]


def test_edges_that_meet_cancel():
    # Rows 2 and 3 of column 0 (of height 4), all of column 1, row 0 of column 2: one run of 7.
    rle = rle_from_edges(np.array([2, 4, 4, 8, 8, 9]), 4, 3)
    assert check_rle(rle).tolist() == [2, 7, 3]


@pytest.mark.parametrize(
    ('edges', 'runs'), [([], [6]), ([0, 6], [0, 6]), ([4, 6], [4, 2]), ([0, 1], [0, 1, 5])]
)
def test_edges_at_the_borders_are_encoded(edges, runs):
    assert check_rle(rle_from_edges(np.array(edges, dtype=np.int64), 2, 3)).tolist() == runs
