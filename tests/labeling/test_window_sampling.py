import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mal_mm.geometry import box_to_crop, clip_boxes, draw_box_masks, expand_fixed, paste_probs
from mal_mm.labeling.window_sampling import fetch_unpadded, sample_windows


def drawn(region, top, left, image_hw):
    image = np.zeros(image_hw, dtype=np.float32)
    image[top : top + region.shape[0], left : left + region.shape[1]] = region
    return image


def sampled_plainly(maps, crop_box, window, image_hw, S, are_logits):
    """The released order, step by step, on the whole crop."""
    on_crop = F.interpolate(maps[None, None], (S, S), mode='bilinear', align_corners=False)[0]
    on_crop = on_crop.sigmoid() if are_logits else on_crop
    on_crop = on_crop * draw_box_masks(torch.from_numpy(crop_box)[None], S, S)
    return drawn(*paste_probs(on_crop[0], window, image_hw), image_hw)


@st.composite
def boxes(draw):
    """A box that meets its image, from a part of a pixel to several images."""
    image_hw = draw(st.integers(1, 60)), draw(st.integers(1, 60))
    low = [draw(st.floats(-30, side - 0.01)) for side in (image_hw[1], image_hw[0])]
    high = [max(v, 0) + draw(st.floats(0.01, 100)) for v in low]
    return np.array([*low, *high]), image_hw


@settings(max_examples=150, deadline=None)
@given(boxes(), st.sampled_from([8, 32, 48]), st.sampled_from([1, 2, 4]), st.booleans())
@example((np.array([3.0, 3, 3.001, 3.001]), (90, 120)), 32, 4, True)
@example((np.array([0.0, 0, 120, 90]), (90, 120)), 8, 1, True)
def test_the_pixels_are_those_of_the_whole_crop_pasted(case, S, stride, are_logits):
    box, image_hw = case
    window = expand_fixed(clip_boxes(box[None], image_hw))[0]
    crop_box = box_to_crop(box, window, image_hw, S)
    maps = torch.randn(S // stride, S // stride, generator=torch.Generator().manual_seed(S)) * 3
    maps = maps if are_logits else maps.sigmoid()
    ((region, top, left),) = sample_windows(
        maps[None], crop_box[None], window[None], [image_hw], S, are_logits
    )
    expected = sampled_plainly(maps, crop_box, window, image_hw, S, are_logits)
    np.testing.assert_allclose(drawn(region, top, left, image_hw), expected, atol=2e-6)
    assert region.strides[0] == region.itemsize  # stored by columns, as RLEs are


def test_crops_of_several_images_do_not_mix():
    S, image_hws = 32, [(40, 50), (70, 30)]
    boxes_xyxy = np.array([[5.0, 5, 20, 30], [2.0, 10, 28, 65]])
    windows = expand_fixed(boxes_xyxy)
    crop_boxes = np.stack(
        [box_to_crop(*one, S) for one in zip(boxes_xyxy, windows, image_hws, strict=True)]
    )
    maps = torch.randn(2, 8, 8, generator=torch.Generator().manual_seed(0))
    together = sample_windows(maps, crop_boxes, windows, image_hws, S)
    for n, (region, top, left) in enumerate(together):
        ((alone, *place),) = sample_windows(
            maps[n : n + 1], crop_boxes[n : n + 1], windows[n : n + 1], image_hws[n : n + 1], S
        )
        assert place == [top, left]
        np.testing.assert_allclose(alone, region, atol=1e-6)


def boxes_of_all_sizes(S, image_hw):
    """Maps, crop boxes and windows of 40 boxes."""
    random = np.random.default_rng(0)
    sides = np.exp(random.uniform(0, np.log(300), (40, 2)))
    corners = random.uniform(-20, 280, (40, 2))
    boxes_xyxy = np.concatenate([corners, np.maximum(corners, 0) + sides], axis=1)
    windows = expand_fixed(clip_boxes(boxes_xyxy, image_hw))
    crop_boxes = np.stack(
        [box_to_crop(*one, image_hw, S) for one in zip(boxes_xyxy, windows, strict=True)]
    )
    crop_boxes[7] = 0  # an empty box mask
    maps = torch.randn(40, 8, 8, generator=torch.Generator().manual_seed(0))
    return maps, crop_boxes, windows


def test_boxes_of_all_sizes_are_sampled_together_as_each_alone():
    S, image_hw = 32, (300, 400)
    maps, crop_boxes, windows = boxes_of_all_sizes(S, image_hw)
    together = sample_windows(maps, crop_boxes, windows, [image_hw] * 40, S)
    sizes = {region.size for region, _, _ in together}
    assert 0 in sizes and max(sizes) > 2**13  # some are turned by OpenCV
    for n, (region, *corner) in enumerate(together):
        one = slice(n, n + 1)
        ((alone, *place),) = sample_windows(
            maps[one], crop_boxes[one], windows[one], [image_hw], S
        )
        assert place == corner
        np.testing.assert_allclose(region, alone, atol=1e-6)


def test_an_empty_box_mask_gives_no_pixels():
    ((region, top, left),) = sample_windows(
        torch.ones(1, 8, 8), np.zeros((1, 4)), np.array([[4, 5, 20, 30]]), [(60, 60)], 32
    )
    assert region.size == 0
    assert (top, left) == (5, 4)


def test_nothing_but_the_surroundings_of_the_box_is_computed():
    # the box fills crop pixels 8 to 24 of 32, so 16 of the window's 32 pixels, which coincide
    crop_box, window = np.array([[8.0, 8, 24, 24]]), np.array([[0, 0, 32, 32]])
    ((region, top, left),) = sample_windows(
        torch.full((1, 8, 8), 20.0), crop_box, window, [(32, 32)], 32
    )
    assert max(region.shape) <= 16 + 4
    assert drawn(region, top, left, (32, 32)).sum() == pytest.approx(16 * 16, rel=1e-6)


def test_one_transfer_brings_what_is_no_padding():
    probs = torch.rand(4, 5, 6, generator=torch.Generator().manual_seed(0))
    widths, heights = np.array([5, 0, 2, 3]), np.array([1, 6, 4, 0])
    regions = fetch_unpadded(probs, widths, heights)
    for region, whole, w, h in zip(regions, probs.numpy(), widths, heights, strict=True):
        np.testing.assert_array_equal(region, whole[:w, :h])


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a GPU')
def test_a_gpu_samples_what_a_cpu_does():
    S, image_hw = 32, (300, 400)
    maps, *places = boxes_of_all_sizes(S, image_hw)
    expected = sample_windows(maps, *places, [image_hw] * 40, S)
    found = sample_windows(maps.cuda(), *places, [image_hw] * 40, S)
    for (region, *corner), (other, *place) in zip(found, expected, strict=True):
        assert corner == place
        np.testing.assert_allclose(region, other, atol=1e-5)
