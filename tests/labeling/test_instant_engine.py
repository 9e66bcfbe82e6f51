"""The engine with a labeler that is not trained, and with the instant stages of a trained one."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sharp_labeler import blotches, sharp_model
from tiny_instant import CROP_SIZE, instant_config, instant_model

from mal_mm.geometry import crop_window, expand_fixed, paste_probs
from mal_mm.instant import DrawnCrops, colour_stages
from mal_mm.labeling import LabelingEngine, mask_quality
from mal_mm.labeling.quality import instant_quality
from mal_mm_runtime.windows import boxes_on_maps

BOXES = np.array([[5, 5, 60, 50], [20, 30, 110, 85], [-10, 0, 30, 30], [70, 10, 110, 60.5]])
HW = (90, 120)


def instant_engine(**options):
    settings = {**instant_config()['test_cfg'], 'batch_size': 3, **options}
    return LabelingEngine(instant_model(), **settings)


def trained_engine(**options):
    settings = {'refine': 'instant', 'crop_size': 32, 'mask_threshold': 0.5, **options}
    return LabelingEngine(sharp_model(), **settings)


ENGINES = pytest.mark.parametrize('make', [instant_engine, trained_engine])


def label(engine, image, boxes=BOXES):
    return engine.label(engine.make_crops(image, boxes))


def things(seed=0):
    """A picture of two bright ellipses that touch the sides of the first two boxes."""
    image = blotches(seed=seed) // 4
    y, x = np.mgrid[: HW[0], : HW[1]] + 0.5
    shapes = []
    for x0, y0, x1, y1 in BOXES[:2]:
        place = (x - (x0 + x1) / 2) / (x1 - x0), (y - (y0 + y1) / 2) / (y1 - y0)
        shapes.append(np.hypot(*place) < 0.5)
    image[shapes[1]] = (90, 200, 240)
    image[shapes[0]] = (250, 200, 60)
    shapes[1] &= ~shapes[0]
    return image, shapes


def iou(a, b):
    return (a & b).sum() / (a | b).sum()


def test_an_object_that_differs_from_its_surroundings_is_drawn():
    image, shapes = things()
    for mask, shape in zip(label(instant_engine(), image), shapes, strict=False):
        assert iou(mask.mask, shape) > 0.9
        assert mask.quality > 0.3


@ENGINES
def test_a_mask_is_what_the_stages_say_on_the_pixels_of_its_window(make):
    image, box = blotches(), BOXES[0]
    engine = make(overlaps='keep', carve_holes=False, box_tolerance='released')
    (mask,) = label(engine, image, [box])

    S, model = engine.crop_size, engine.labeler
    window = expand_fixed(box)[0]
    crop = crop_window(image, window, S, exact=False)
    images = model.data_preprocessor.normalise(torch.from_numpy(crop).permute(2, 0, 1)[None])
    exact = torch.from_numpy(boxes_on_maps(box[None], window[None], [HW], S))
    maps = model.predict_maps(images, exact, torch.tensor([55.0 * 45]), refine='instant')
    whole = np.array([[0.0, 0, HW[1], HW[0]]])
    in_image = torch.from_numpy(boxes_on_maps(whole, window[None], [HW], S))
    drawn = colour_stages(maps.sigmoid(), exact, in_image, [crop])
    # to the crop, then to the window
    on_crop = torch.nn.functional.interpolate(drawn.probs[None], (S, S), mode='bilinear')[0, 0]
    region, top, left = paste_probs(on_crop, window, HW)
    expected = np.zeros(HW, dtype=bool)
    h, w = region.shape
    expected[top : top + h, left : left + w] = region.numpy() > 0.5
    # the released box mask ends on whole crop pixels
    inside = np.zeros(HW, dtype=bool)
    inside[7:48, 7:58] = True
    assert expected.sum() > 100
    np.testing.assert_array_equal(mask.mask & inside, expected & inside)


@ENGINES
@settings(max_examples=4, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_masks_lie_inside_their_boxes_and_share_no_pixel(make, seed):
    random = np.random.default_rng(seed)
    low = random.uniform(-10, 80, (4, 2))
    boxes = np.concatenate([low, low + random.uniform(3, 60, (4, 2))], 1)
    masks = label(make(overlaps='centre', box_tolerance=0.0), blotches(seed=seed), boxes)
    y, x = np.mgrid[: HW[0], : HW[1]] + 0.5
    for mask, (x0, y0, x1, y1) in zip(masks, boxes, strict=True):
        assert not (mask.mask & ~((x >= x0) & (x <= x1) & (y >= y0) & (y <= y1))).any()
        assert 0 <= mask.quality <= 1
    assert sum(mask.mask.astype(int) for mask in masks).max() <= 1


@ENGINES
def test_two_runs_and_two_threads_draw_the_same_masks(make):
    image, threads = things()[0], torch.get_num_threads()
    masks = []
    try:
        for number in (1, 1, 2):
            torch.set_num_threads(number)
            found = label(make(), image, BOXES[:2])
            masks.append([(mask.rle, round(mask.quality, 4)) for mask in found])
    finally:
        torch.set_num_threads(threads)
    assert masks[0] == masks[1] == masks[2]
    assert masks[0][0] != masks[0][1]


def test_the_order_of_the_boxes_and_of_the_images_changes_no_mask():
    engine = instant_engine()
    images = [things(seed)[0] for seed in (1, 2)]
    crops = [engine.make_crops(image, BOXES) for image in images]
    first = engine.label(crops[0] + crops[1], [0] * 4 + [1] * 4)
    again = engine.label(crops[1][::-1] + crops[0][::-1], [1] * 4 + [0] * 4)[::-1]
    for mask, other in zip(first, again, strict=True):
        assert mask.rle == other.rle


def test_an_instant_labeler_without_the_stages_draws_its_vote():
    image, shapes = things()
    engine = instant_engine(refine='none', carve_holes=False)
    for mask, shape in zip(label(engine, image), shapes, strict=False):
        assert iou(mask.mask, shape) > 0.5


def test_the_refinement_of_a_trained_labeler_is_refused_before_the_start():
    with pytest.raises(ValueError, match=r"`refine` must be one of \('none', 'instant'\)"):
        instant_engine(refine='mean-field')
    with pytest.raises(ValueError, match=r"`refine` must be one of \('none', 'instant'\)"):
        instant_engine(refine=True)


def test_boxes_of_any_size_are_drawn():
    huge, tiny, slip = label(
        instant_engine(),
        blotches(),
        [[-1e9, -1e9, 1e18, 1e18], [3, 3, 3.001, 3.001], [-9, 4, 0.1, 9]],
    )
    assert huge.rle['size'] == [90, 120] and huge.area > 0
    assert tiny.area <= 1 and slip.area <= 5


def test_several_margins_and_flip_go_together_with_the_stages():
    image, shapes = things()
    masks = label(instant_engine(margin=(0.3, 0.6), flip=True), image)
    for mask, shape in zip(masks, shapes, strict=False):
        assert iou(mask.mask, shape) > 0.85


# -- quality --------------------------------------------------------------------------------------


def test_quality_counts_how_far_the_colours_agree_with_what_came_before():
    before, after = torch.zeros(2, 3, 4, 4)
    before[:, :2], after[:, 1:3] = 0.9, 0.9  # rows 0 and 1; rows 1 and 2
    after[1] = before[1]
    after[2] = 0
    found = instant_quality(torch.tensor([0.6, 0.6, 0.6]), DrawnCrops(after, before))
    assert found.tolist() == pytest.approx([0.6 / 3, 0.6, 0])


def test_the_quality_is_that_of_the_final_mask_times_the_agreement():
    engine = instant_engine(overlaps='keep', carve_holes=False)
    (crop,) = engine.make_crops(things()[0], BOXES[:1])
    (mask,) = engine.label([crop])
    images = engine.labeler.data_preprocessor.normalise(
        torch.from_numpy(crop.pixels).permute(2, 0, 1)[None]
    )
    window = crop.window[None]
    exact = torch.from_numpy(boxes_on_maps(BOXES[:1], window, [HW], CROP_SIZE))
    whole = np.array([[0.0, 0, HW[1], HW[0]]])
    in_image = torch.from_numpy(boxes_on_maps(whole, window, [HW], CROP_SIZE))
    maps = engine.labeler.predict_maps(images, exact).sigmoid()
    drawn = colour_stages(maps, exact, in_image, [crop.pixels])
    s = drawn.probs.shape[-1]
    on_maps = exact * (s / CROP_SIZE)
    plain = mask_quality(drawn.probs, images, on_maps, 0.5)
    expected = instant_quality(plain, drawn).item()
    assert mask.quality == pytest.approx(expected, abs=0.01)
