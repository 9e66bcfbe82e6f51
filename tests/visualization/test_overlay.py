import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycocotools import mask as mask_utils

from mal_mm.visualization.overlay import (
    AGREED,
    EXTRA,
    MISSED,
    crop_around,
    decode_mask,
    display_scale,
    draw_agreement,
    draw_contours,
    draw_masks,
    instance_colors,
    scale_mask,
    window_around,
)

RED, GREEN = (200, 0, 0), (0, 200, 0)


def grey(height, width, value=100):
    return np.full((height, width, 3), value, dtype=np.uint8)


def block(height, width, y0, x0, y1, x1):
    mask = np.zeros((height, width), dtype=bool)
    mask[y0:y1, x0:x1] = True
    return mask


def test_fill_mixes_colour_and_picture_and_leaves_the_rest_alone():
    image, mask = grey(4, 5), block(4, 5, 1, 1, 3, 4)
    drawn = draw_masks(image, [mask], colors=[RED], alpha=0.25, outline=0)
    assert (drawn[mask] == (125, 75, 75)).all()
    assert (drawn[~mask] == 100).all()
    assert (image == 100).all()


def test_outline_is_as_wide_as_asked_inside_the_mask_with_a_dark_seam():
    mask = block(11, 11, 1, 1, 10, 10)
    drawn = draw_masks(grey(11, 11), [mask], colors=[RED], alpha=0.0, outline=2)
    row = drawn[5, :, 0].tolist()
    assert row == [100, 200, 200, 50, 100, 100, 100, 50, 200, 200, 100]
    assert (drawn[~mask] == 100).all()


def test_outline_follows_holes():
    mask = block(9, 9, 0, 0, 9, 9) & ~block(9, 9, 4, 4, 5, 5)
    image = np.zeros((9, 9, 3), dtype=np.uint8)
    draw_contours(image, mask, (7, 7, 7), thickness=1)
    # A pixel of the mask is on its outline when a side neighbour is outside.
    padded = np.pad(mask, 1)
    inner = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    np.testing.assert_array_equal(image[..., 0] == 7, mask & ~inner)


def test_small_masks_lie_over_large_ones_in_any_order():
    large, small = block(9, 9, 0, 0, 9, 9), block(9, 9, 3, 3, 6, 6)
    one = draw_masks(grey(9, 9), [large, small], colors=[RED, GREEN], alpha=1.0, outline=0)
    other = draw_masks(grey(9, 9), [small, large], colors=[GREEN, RED], alpha=1.0, outline=0)
    np.testing.assert_array_equal(one, other)
    assert (one[small] == GREEN).all()
    assert (one[large & ~small] == RED).all()


def test_boxes_are_one_pixel_thin_and_frame_the_pixels_they_hold():
    drawn = draw_masks(grey(6, 7), None, [[1, 2, 4, 3]], colors=[GREEN])
    frame = block(6, 7, 2, 1, 5, 5) & ~block(6, 7, 3, 2, 4, 4)
    np.testing.assert_array_equal((drawn == GREEN).all(axis=2), frame)


@pytest.mark.parametrize(
    'box', [[np.nan, 1, 2, 2], [1, 1, 0, 2], [1, 1, -3, 2], [1, np.inf, 2, 2]]
)
def test_boxes_that_are_none_are_left_out(box):
    assert (draw_masks(grey(6, 6), None, [box]) == 100).all()


def test_boxes_far_outside_the_picture_draw_nothing():
    assert (draw_masks(grey(6, 6), None, [[1e12, -1e12, 5, 5]]) == 100).all()


def test_all_forms_of_a_mask_draw_the_same():
    mask = block(8, 9, 2, 3, 6, 7)
    rle = mask_utils.encode(np.asfortranarray(mask.astype(np.uint8)))
    runs = np.diff(np.flatnonzero(np.diff(np.pad(mask.T.ravel(), 1, constant_values=0))))
    counts = [int(np.argmax(mask.T.ravel())), *runs.tolist()]
    counts.append(mask.size - sum(counts))
    forms = [
        mask,
        rle,
        {**rle, 'counts': rle['counts'].decode()},
        {'size': [8, 9], 'counts': counts},
        [[3, 2, 7, 2, 7, 6, 3, 6]],
    ]
    drawn = [draw_masks(grey(8, 9), [form], colors=[RED]) for form in forms]
    for other in drawn[1:]:
        np.testing.assert_array_equal(other, drawn[0])


def test_missing_and_empty_masks_draw_nothing():
    empty = np.zeros((4, 4), dtype=bool)
    assert (draw_masks(grey(4, 4), [None, empty, []]) == 100).all()


def test_scale_draws_on_an_enlarged_picture():
    drawn = draw_masks(
        grey(4, 4), [block(4, 4, 1, 1, 3, 3)], colors=[RED], alpha=1.0, outline=0, scale=4
    )
    assert drawn.shape == (16, 16, 3)
    assert (drawn[6:10, 6:10] == RED).all()
    assert (drawn[:3] == 100).all()


def test_a_mask_of_one_pixel_survives_shrinking():
    mask = block(40, 40, 17, 23, 18, 24)
    assert scale_mask(mask, 0.1).any()
    assert not scale_mask(np.zeros((40, 40), dtype=bool), 0.1).any()


def test_wrong_input_is_refused_with_the_reason():
    with pytest.raises(ValueError, match=r'`image_rgb` must be \(H, W, 3\) uint8'):
        draw_masks(np.zeros((4, 4), dtype=np.uint8))
    with pytest.raises(ValueError, match='3 x 4 pixels, its picture 4 x 4'):
        draw_masks(grey(4, 4), [np.zeros((4, 3), dtype=bool)])
    with pytest.raises(ValueError, match='has 1 rows for 2 instances'):
        draw_masks(grey(4, 4), [None, None], colors=[RED])
    with pytest.raises(ValueError, match='RLE'):
        decode_mask({'size': [4, 4], 'counts': 'zz~~'}, (4, 4))


def test_instance_colours_are_distinct():
    colors = instance_colors(40).astype(int)
    distance = np.abs(colors[:, None] - colors[None]).max(axis=2)
    assert distance[~np.eye(40, dtype=bool)].min() > 8
    assert np.diag(distance[1:]).min() > 100
    assert instance_colors(0).shape == (0, 3)


def test_agreement_colours_both_extra_and_missed_pixels():
    own, human = block(3, 6, 1, 1, 2, 4), block(3, 6, 1, 2, 2, 5)
    black = np.zeros((3, 6, 3), dtype=np.uint8)
    drawn = draw_agreement(black, [own], [human], alpha=1.0)
    assert tuple(drawn[1, 1]) == EXTRA
    assert (drawn[1, 2:4] == np.rint(np.array(AGREED) / 2)).all()
    assert tuple(drawn[1, 4]) == MISSED
    assert (drawn[[0, 2]] == 0).all()


def test_agreement_leaves_masks_without_a_human_partner_untinted():
    drawn = draw_agreement(grey(4, 4), [block(4, 4, 0, 0, 2, 2)], [None])
    assert (drawn == 100).all()


@pytest.mark.parametrize(
    ('size_hw', 'scale'),
    [((128, 128), 6), ((256, 200), 3), ((384, 100), 2), ((512, 512), 2), ((640, 480), 1)],
)
def test_small_pictures_grow_by_whole_factors(size_hw, scale):
    assert display_scale(size_hw) == scale


def test_huge_pictures_shrink_to_the_largest_side():
    assert display_scale((3000, 4000)) == pytest.approx(0.32)


def test_crop_has_a_margin_of_the_longer_side_and_stays_inside():
    image = np.arange(100 * 100).reshape(100, 100)
    np.testing.assert_array_equal(
        crop_around(image, [40, 50, 20, 10], margin=0.25), image[45:65, 35:65]
    )
    np.testing.assert_array_equal(
        crop_around(image, [0, 0, 20, 10], margin=0.25), image[0:15, 0:25]
    )


def test_square_windows_move_along_the_edge():
    assert window_around([0, 0, 20, 10], (100, 100), 0.25, square=True) == (0, 0, 30, 30)
    assert window_around([90, 40, 10, 10], (100, 100), 0.5, square=True) == (80, 35, 100, 55)
    assert window_around([5, 0, 40, 10], (20, 100), 0.0, square=True)[1::2] == (0, 20)


@given(
    st.tuples(*[st.floats(-500, 500)] * 4),
    st.tuples(st.integers(1, 200), st.integers(1, 200)),
    st.floats(0, 2),
    st.booleans(),
)
def test_windows_always_hold_a_pixel_of_the_picture(box, size_hw, margin, square):
    x0, y0, x1, y1 = window_around(box, size_hw, margin, square)
    assert 0 <= x0 < x1 <= size_hw[1]
    assert 0 <= y0 < y1 <= size_hw[0]


def test_windows_need_a_box():
    with pytest.raises(ValueError, match='four finite numbers'):
        window_around([1, 2, float('nan'), 4], (10, 10))
