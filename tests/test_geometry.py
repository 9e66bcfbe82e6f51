import math

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from PIL import Image

from mal_mm.geometry import (
    box_from_crop,
    box_to_crop,
    clip_boxes,
    crop_window,
    draw_box_masks,
    expand_fixed,
    expand_randomly,
    paste_probs,
    round_outward,
    tight_window,
)

quick = settings(max_examples=60, deadline=None)

coordinate = st.floats(-40, 90, width=32)
length = st.floats(0.25, 80, width=32)


@st.composite
def boxes(draw):
    x, y, w, h = draw(coordinate), draw(coordinate), draw(length), draw(length)
    return np.array([x, y, x + w, y + h])


@st.composite
def images_with_boxes(draw):
    """(height, width) and a box that meets the image but may reach beyond it."""
    height, width = draw(st.integers(1, 70)), draw(st.integers(1, 70))
    x0 = draw(st.floats(-20, width - 0.01))
    y0 = draw(st.floats(-20, height - 0.01))
    x1 = draw(st.floats(max(x0, 0) + 0.01, width + 20))
    y1 = draw(st.floats(max(y0, 0) + 0.01, height + 20))
    return (height, width), np.array([x0, y0, x1, y1])


class Script:
    """A generator that answers with given shares of the range."""

    def __init__(self, *shares):
        self.shares = list(shares)

    def uniform(self, low=0.0, high=1.0, size=None):
        share = np.array(self.shares.pop(0))
        assert share.shape == (() if size is None else (size,))
        return low + (high - low) * share


# -- windows ------------------------------------------------------------------------------------


def test_a_window_is_rounded_outward_and_keeps_the_pixel_of_the_right_and_bottom_border():
    windows = np.array([[1.5, -1.5, 4.0, 4.2], [2.0, 3.0, 5.0, 6.0]])
    assert round_outward(windows).tolist() == [[1, -2, 5, 6], [2, 3, 6, 7]]


def test_the_labeling_window_moves_every_side_by_a_share_of_half_the_box():
    # halves (10, 20), margins (3, 6): 7 and 14 to floor(33 + 1) = 34 and ceil(66 + 1) = 67
    assert expand_fixed([[10, 20, 30, 60]], 0.3).tolist() == [[7, 14, 34, 67]]
    assert expand_fixed([[10, 20, 30, 60]], 0).tolist() == [[10, 20, 31, 61]]
    # 0.5 - 0.15 = 0.35 and 1.5 + 0.15 + 1 = 2.65
    assert expand_fixed([[0.5, 0.5, 1.5, 1.5]]).tolist() == [[0, 0, 3, 3]]
    assert expand_fixed(np.zeros((0, 4))).shape == (0, 4)


def test_the_labeling_windows_are_the_released_ones(load_reference):
    reference = load_reference('pseudo_labels')
    boxes_xyxy = reference['boxes_xywh'].astype(np.float64)
    boxes_xyxy[:, 2:] += boxes_xyxy[:, :2]
    np.testing.assert_array_equal(expand_fixed(boxes_xyxy), reference['expanded_boxes_xyxy'])
    clipped = clip_boxes(boxes_xyxy, reference['image'].shape[:2])
    np.testing.assert_array_equal(expand_fixed(clipped), reference['expanded_boxes_xyxy'])


def test_released_margins_are_gated_left_against_right():
    box = [10, 10, 30, 50]  # halves (10, 20)
    shares = [0.5, 0.25, 1.0, 0.75]  # of theta = 1.2: 0.6, 0.3, 1.2, 0.9
    # gates 1: only left by 0.6 * 10 and top by 0.3 * 20
    assert expand_randomly(box, 1.2, Script(shares, [1, 1])).tolist() == [4, 4, 31, 51]
    # gates 0: only right by 1.2 * 10 and bottom by 0.9 * 20
    assert expand_randomly(box, 1.2, Script(shares, [0, 0])).tolist() == [10, 10, 43, 69]
    # gates 1/2: half of each
    assert expand_randomly(box, 1.2, Script(shares, [0.5, 0.5])).tolist() == [7, 7, 37, 60]
    # a gate for each axis: left alone, bottom alone
    assert expand_randomly(box, 1.2, Script(shares, [1, 0])).tolist() == [4, 10, 31, 69]


def test_paper_margins_share_one_total_per_axis():
    box = [10, 10, 30, 50]
    # totals 1.2 and 0.6, of which the left side takes a quarter and the top all
    window = expand_randomly(box, 1.2, Script([1.0, 0.5], [0.25, 1.0]), 'paper')
    # 10 - 0.3 * 10, 10 - 0.6 * 20, 30 + 0.9 * 10 + 1, 50 + 0 + 1
    assert window.tolist() == [7, -2, 40, 51]


@pytest.mark.parametrize('rule', ['released', 'paper'])
@quick
@given(box=boxes(), theta=st.floats(0, 1.6), seed=st.integers(0, 2**31))
def test_a_random_window_contains_its_box_within_the_reach_of_theta(rule, box, theta, seed):
    window = expand_randomly(box, theta, np.random.RandomState(seed), rule)
    assert (window[:2] <= box[:2]).all()
    assert (window[2:] >= box[2:] + 1 - 1e-9).all()
    half = (box[2:] - box[:2]) / 2
    # take the rounding back: up to one pixel on the left, one pixel and the + 1 on the right
    left = np.maximum(box[:2] - window[:2] - 1, 0) / half
    right = np.maximum(window[2:] - box[2:] - 2, 0) / half
    assert (left + right <= theta + 1e-6).all()


@pytest.mark.parametrize('rule', ['released', 'paper'])
def test_random_windows_move_each_side_by_a_quarter_of_theta_on_average(rule):
    rng, box = np.random.RandomState(0), np.array([0, 0, 20000, 20000])
    windows = np.stack([expand_randomly(box, 1.2, rng, rule) for _ in range(3000)])
    margins = np.abs(windows - box) / 10000
    # both rules: E[left] = theta / 4 (a gate or share of 1/2 times a margin or total of theta / 2)
    np.testing.assert_allclose(margins.mean(0), 0.3, atol=0.02)
    totals = margins[:, 0] + margins[:, 2]
    # the paper draws the total evenly from [0, theta]; gated margins bunch in the middle:
    # P(g u + (1 - g) v > 3/4) = 1/4 - ln(4/3) / 2 + ln(3) / 16 = 0.175
    expected = 0.25 if rule == 'paper' else 0.175
    assert abs((totals > 0.75 * 1.2).mean() - expected) < 0.03


@pytest.mark.parametrize('rule', ['released', 'paper'])
def test_objects_move_independently_along_x_and_y(rule):
    # with one gate for both axes the shifts correlated with 0.6: objects lay along a diagonal
    rng, box = np.random.RandomState(1), np.array([0, 0, 20000, 20000])
    windows = np.stack([expand_randomly(box, 1.2, rng, rule) for _ in range(4000)])
    shifts = (windows[:, :2] + windows[:, 2:]) / 2 - 10000
    assert abs(np.corrcoef(shifts.T)[0, 1]) < 0.05
    if rule == 'released':
        # inside an axis both sides share a gate: P(both sides > theta / 2), which needs
        # g u > 1/2 and (1 - g) v > 1/2 at once, is 0
        margins = np.abs(windows - box) / 10000
        assert not (np.minimum(margins[:, :2], margins[:, 2:]) > 0.601).any()


def test_a_tight_window_is_the_pixels_of_the_box_in_the_image():
    assert tight_window([10.7, 20, 30, 60.2], (100, 100)).tolist() == [10, 20, 31, 61]
    assert tight_window([-3, 5, 40, 100], (100, 40)).tolist() == [0, 5, 40, 100]
    assert tight_window([50, 5, 60, 6], (10, 20)).tolist() == [19, 5, 20, 7]  # beside the image


def test_the_module_numpy_random_serves_as_generator():
    np.random.seed(3)
    window = expand_randomly([0, 0, 9, 9], 1.2, np.random)
    assert (window == expand_randomly([0, 0, 9, 9], 1.2, np.random.RandomState(3))).all()


def test_an_unknown_expansion_rule_is_refused():
    with pytest.raises(ValueError, match="'released' or 'paper', got 'both'"):
        expand_randomly([0, 0, 1, 1], 1.2, np.random, 'both')


def test_boxes_are_clipped_to_the_image():
    clipped = clip_boxes([[-5, 2, 7, 1e9], [1.5, 2.5, 3.5, 4.5], [12, -9, 20, -3]], (6, 10))
    assert clipped.tolist() == [[0, 2, 7, 6], [1.5, 2.5, 3.5, 4.5], [10, 0, 10, 0]]
    assert clip_boxes(np.float32([-1, 0, 99, 3]), (6, 10)).tolist() == [0, 0, 10, 3]


# -- pixels -------------------------------------------------------------------------------------


def noise(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize('padding', ['wrap', 'reflect'])
@quick
@given(
    image_hw=st.tuples(st.integers(1, 12), st.integers(1, 12)),
    corner=st.tuples(st.integers(-40, 30), st.integers(-40, 30)),
    side=st.integers(1, 30),
)
def test_what_lies_outside_is_padded_as_numpy_does(padding, image_hw, corner, side):
    image, (x0, y0), reach = noise(*image_hw), corner, 72
    padded = np.pad(image, ((reach, reach), (reach, reach), (0, 0)), mode=padding)
    expected = padded[y0 + reach : y0 + reach + side, x0 + reach : x0 + reach + side]
    # a crop of the window's own size is not resampled
    crop = crop_window(image, (x0, y0, x0 + side, y0 + side), side, padding)
    np.testing.assert_array_equal(crop, expected)


def test_mean_padding_fills_with_one_colour():
    image = noise(4, 5)
    crop = crop_window(image, (-2, -1, 6, 7), 8, 'mean', fill=(123.7, 116.2, 103.5))
    np.testing.assert_array_equal(crop[1:5, 2:7], image)
    outside = np.ones((8, 8), dtype=bool)
    outside[1:5, 2:7] = False
    assert (crop[outside] == (124, 116, 104)).all()
    beside = crop_window(image, (10, 10, 13, 13), 3, 'mean', fill=(1, 2, 3))
    assert (beside == (1, 2, 3)).all()


def test_a_crop_is_pillows_antialiased_bicubic_resize():
    image = noise(50, 60)
    crop = crop_window(image, (5, 10, 45, 37), 16)
    expected = Image.fromarray(image[10:37, 5:45]).resize((16, 16), Image.BICUBIC)
    np.testing.assert_array_equal(crop, np.asarray(expected))
    assert crop.flags.writeable


@pytest.mark.parametrize('exact', [True, False])
def test_crops_are_stored_by_planes_as_networks_read_them(exact):
    crop = crop_window(noise(50, 60), (5, 10, 45, 37), 16, exact=exact)
    assert crop.shape == (16, 16, 3)
    assert crop.transpose(2, 0, 1).flags.c_contiguous


def test_crops_are_the_released_ones(load_reference):
    reference = load_reference('pseudo_labels')
    mean, std = np.array([123.675, 116.28, 103.53]), np.array([58.395, 57.12, 57.375])
    for window, expected in zip(
        reference['expanded_boxes_xyxy'], reference['crop_images'], strict=True
    ):
        grey = expected.astype(np.float64).transpose(1, 2, 0) * std + mean
        crop = crop_window(reference['image'], window, 128)
        assert (np.abs(crop - grey) <= 1).mean() >= 0.999


def test_a_bad_padding_or_window_is_refused():
    with pytest.raises(ValueError, match=r"`padding` must be one of .*, got 'zero'"):
        crop_window(noise(4, 4), (0, 0, 2, 2), 2, 'zero')
    with pytest.raises(ValueError, match=r'x1 > x0 and y1 > y0, got \(2, 0, 2, 2\)'):
        crop_window(noise(4, 4), (2, 0, 2, 2), 2)


# -- box masks ----------------------------------------------------------------------------------


def drawn_box_mask(box, window, image_hw, crop_size):
    """The released way: draw the mask on the image, cut the window out, resize it as an image."""
    height, width = image_hw
    mask = np.zeros(image_hw, dtype=np.uint8)
    x0, y0, x1, y1 = (int(v) for v in box)
    mask[max(y0, 0) : max(y1 + 1, 0), max(x0, 0) : max(x1 + 1, 0)] = 1
    left, top, right, bottom = window
    content = np.zeros((bottom - top, right - left), dtype=np.uint8)
    for y in range(max(top, 0), min(bottom, height)):
        for x in range(max(left, 0), min(right, width)):
            content[y - top, x - left] = mask[y, x]
    return np.asarray(Image.fromarray(content).resize((crop_size, crop_size), Image.BICUBIC))


@quick
@given(
    case=images_with_boxes(), crop_size=st.sampled_from([1, 7, 16, 64]), seed=st.integers(0, 999)
)
def test_the_crop_box_is_pillows_resize_of_the_drawn_mask(case, crop_size, seed):
    image_hw, box = case
    window = expand_randomly(box, 1.2, np.random.RandomState(seed))
    crop_box = torch.from_numpy(box_to_crop(box, window, image_hw, crop_size))
    drawn = draw_box_masks(crop_box[None], crop_size, crop_size)[0].numpy()
    np.testing.assert_array_equal(drawn, drawn_box_mask(box, window, image_hw, crop_size))


@pytest.mark.parametrize(
    'box',
    [[-30, 5, -10, 9], [5, -30, 9, -10], [25, 5, 30, 9], [5, 25, 9, 30], [-9e9, 5, -8e9, 9]],
)
def test_a_box_beside_the_image_leaves_an_empty_crop_box(box):
    window = (-40, -40, 60, 60)
    assert box_to_crop(np.array(box), window, (20, 20), 50).tolist() == [0, 0, 0, 0]


def test_box_masks_are_the_released_ones(load_reference):
    reference = load_reference('pseudo_labels')
    boxes_xyxy = reference['boxes_xywh'].copy()
    boxes_xyxy[:, 2:] += boxes_xyxy[:, :2]
    windows, image_hw = reference['expanded_boxes_xyxy'], reference['image'].shape[:2]
    crop_boxes = np.stack(
        [box_to_crop(b, w, image_hw, 128) for b, w in zip(boxes_xyxy, windows, strict=True)]
    )
    drawn = draw_box_masks(torch.from_numpy(crop_boxes), 128, 128).numpy()
    expected = reference['crop_box_masks'][:, 0]
    assert (drawn == expected).mean(axis=(1, 2)).min() >= 0.999


@quick
@given(case=images_with_boxes(), crop_size=st.integers(8, 128))
def test_a_box_comes_back_from_its_crop(case, crop_size):
    image_hw, box = case
    box = clip_boxes(box, (image_hw[0] - 0.01, image_hw[1] - 0.01))
    window = expand_fixed(box)[0]
    crop_pixel = np.tile((window[2:] - window[:2]) / crop_size, 2)
    pixels = np.floor(box) + np.array([0, 0, 1, 1])
    assume(((pixels[2:] - pixels[:2]) >= 2 * crop_pixel[:2]).all())  # thinner ones may vanish
    back = box_from_crop(box_to_crop(box, window, image_hw, crop_size), window, crop_size)
    # an enlarging bicubic filter moves the edges of a one-pixel box by 0.07 of it
    assert (np.abs(back - pixels) <= np.maximum(crop_pixel, 0.1) + 1e-9).all()


def test_a_crop_pixel_maps_to_its_share_of_the_window():
    # the window is 40 x 80 image pixels on 20 x 20 crop pixels: 2 and 4 image pixels each
    image_box = box_from_crop([5, 5, 10, 20], [-10, 100, 30, 180], 20)
    assert image_box.tolist() == [0, 120, 10, 180]


def test_box_masks_hold_the_share_of_each_cell_inside_the_box():
    crop_boxes = torch.tensor([[2.0, 0, 6, 4], [1, 1, 7, 8], [0, 0, 0, 0]])
    half, full = draw_box_masks(crop_boxes, 8, 4), draw_box_masks(crop_boxes, 8, 8)
    assert half[0].tolist() == [[0, 1, 1, 0], [0, 1, 1, 0], [0, 0, 0, 0], [0, 0, 0, 0]]
    columns, rows = torch.tensor([0.5, 1, 1, 0.5]), torch.tensor([0.5, 1, 1, 1])
    assert torch.equal(half[1], rows[:, None] * columns)
    assert full.sum((1, 2)).tolist() == [16, 42, 0]
    assert set(full.unique().tolist()) == {0, 1}
    assert half.dtype == torch.float32


# -- the way back -------------------------------------------------------------------------------


def pasted_slowly(probs, window, image_hw):
    """Bilinear interpolation, written for one image pixel at a time."""
    S = len(probs)
    x0, y0, x1, y1 = window

    def neighbours(pixel, low, high):
        place = min(max((pixel - low + 0.5) * S / (high - low) - 0.5, 0), S - 1)
        first = min(math.floor(place), S - 1)
        return first, min(first + 1, S - 1), place - first

    image = np.zeros(image_hw)
    for y in range(max(y0, 0), min(y1, image_hw[0])):
        for x in range(max(x0, 0), min(x1, image_hw[1])):
            top, bottom, v = neighbours(y, y0, y1)
            left, right, u = neighbours(x, x0, x1)
            upper = (1 - u) * probs[top, left] + u * probs[top, right]
            lower = (1 - u) * probs[bottom, left] + u * probs[bottom, right]
            image[y, x] = (1 - v) * upper + v * lower
    return image


@settings(max_examples=30, deadline=None)
@given(
    image_hw=st.tuples(st.integers(1, 20), st.integers(1, 20)),
    corner=st.tuples(st.integers(-25, 25), st.integers(-25, 25)),
    size=st.tuples(st.integers(1, 25), st.integers(1, 25)),
    crop_size=st.integers(1, 16),
)
def test_pasting_is_bilinear_and_cut_to_the_image(image_hw, corner, size, crop_size):
    window = (*corner, corner[0] + size[0], corner[1] + size[1])
    probs = torch.from_numpy(np.random.default_rng(crop_size).random((crop_size, crop_size)))
    region, top, left = paste_probs(probs, np.array(window), image_hw)
    image = np.zeros(image_hw)
    h, w = region.shape
    image[top : top + h, left : left + w] = region.numpy()
    np.testing.assert_allclose(image, pasted_slowly(probs.numpy(), window, image_hw), atol=1e-6)
    meets = corner[0] < image_hw[1] and window[2] > 0 and corner[1] < image_hw[0] and window[3] > 0
    assert (region.numel() > 0) == meets


@pytest.mark.parametrize('crop_size', [48, 128])
def test_a_smooth_picture_survives_crop_and_paste(crop_size):
    rows, columns = np.mgrid[0:60, 0:80]
    smooth = 0.5 + 0.4 * np.sin(rows / 12) * np.cos(columns / 15)
    image = np.repeat((smooth[..., None] * 255).round().astype(np.uint8), 3, axis=2)
    window = np.array([10, 5, 72, 51])
    crop = torch.from_numpy(crop_window(image, window, crop_size)[..., 0] / 255)
    region, top, left = paste_probs(crop, window, image.shape[:2])
    assert (top, left) == (5, 10)
    assert region.shape == (46, 62)
    error = np.abs(region.numpy() - smooth[5:51, 10:72])
    assert error.max() < 0.03
    assert error.mean() < 0.005
