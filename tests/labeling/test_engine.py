import numpy as np
import pytest
import torch
from pycocotools import mask as coco_mask
from sharp_labeler import blotches, sharp_model

from mal_mm.geometry import (
    box_to_crop,
    crop_window,
    draw_box_masks,
    expand_fixed,
    paste_probs,
)
from mal_mm.labeling import LabelingEngine, mask_quality
from mal_mm.labeling.crop import Drawing
from mal_mm_runtime.overlaps import Claim, resolve_overlaps
from mal_mm_runtime.windows import boxes_on_maps

BOXES = np.array(
    [[5, 5, 60, 50], [20, 30, 110, 85], [0, 0, 30, 30], [70, 10, 110, 60], [50, 50, 56.5, 57]]
)


@pytest.fixture(scope='module')
def model():
    return sharp_model()


class Recording(LabelingEngine):
    """Keeps the size of every batch."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.batches = []

    def draw(self, crops, on_looked=None):
        self.batches.append(len(crops))
        return super().draw(crops, on_looked)


def engine(model, **options):
    return Recording(model, **{'crop_size': 32, 'mask_threshold': 0.5, **options})


def label(an_engine, image, boxes=BOXES):
    return an_engine.label(an_engine.make_crops(image, boxes))


@pytest.mark.parametrize('exact', [False, True])
@pytest.mark.parametrize('refine', ['none', 'mean-field'])
@pytest.mark.parametrize('network', ['teacher', 'student', 'both'])
def test_a_mask_is_the_pasted_probability_above_the_threshold(model, network, refine, exact):
    image, box = blotches(), BOXES[0]
    options = {'network': network, 'flip': True, 'refine': refine}
    drawing = engine(
        model, **options, mask_threshold=0.05, exact_crops=exact, box_tolerance='released'
    )
    (mask,) = label(drawing, image, [box])

    window = expand_fixed(box)[0]
    crop = torch.from_numpy(crop_window(image, window, 32, exact=exact)).permute(2, 0, 1)[None]
    crop_box = torch.from_numpy(box_to_crop(box, window, (90, 120), 32))[None]
    images = model.data_preprocessor.normalise(crop)
    probs = model.predict_probs(images, crop_box, torch.tensor([55.0 * 45]), **options)
    region, top, left = paste_probs(probs[0], window, (90, 120))
    expected = np.zeros((90, 120), dtype=bool)
    expected[top : top + len(region), left : left + region.shape[1]] = region.numpy() > 0.05

    assert 0 < expected.sum() < 55 * 45
    np.testing.assert_array_equal(mask.mask, expected)
    assert mask.area == expected.sum() == coco_mask.area(mask.rle)
    maps = model.predict_maps(images, crop_box, torch.tensor([55.0 * 45]), **options)
    s = maps.shape[-1]
    on_cells = (maps if refine == 'mean-field' else maps.sigmoid()) * draw_box_masks(
        crop_box, 32, s
    )
    map_box = torch.from_numpy(boxes_on_maps(box[None], window[None], [(90, 120)], s))
    quality = mask_quality(on_cells, images, map_box, 0.05).item()
    assert mask.quality == pytest.approx(quality, abs=1e-6)
    assert mask.rle['size'] == [90, 120]
    assert isinstance(mask.rle['counts'], str)
    assert mask.box.tolist() == box.tolist()


def extent(mask):
    """x0, y0, x1, y1 of a (H, W) mask."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1])


# one pixel is in the mask wherever the box mask lets it through
ALL = {'mask_threshold': 0.0}


def test_masks_stay_inside_their_boxes_to_the_pixel(model):
    for mask, box in zip(label(engine(model, **ALL), blotches()), BOXES, strict=True):
        inside = np.floor(box + 0.5)  # pixels whose middle lies in it
        np.testing.assert_array_equal(extent(mask.mask), inside)


@pytest.mark.parametrize('refine', ['none', 'mean-field', 'instant'])
@pytest.mark.parametrize('tolerance', [0, 0.4, 2, 3.5])
def test_masks_reach_as_far_beyond_their_boxes_as_they_may(model, refine, tolerance):
    options = {} if refine == 'instant' else ALL
    a_mask, other, *_ = label(
        engine(model, refine=refine, box_tolerance=tolerance, **options), blotches()
    )
    for mask, box in ((a_mask, BOXES[0]), (other, BOXES[1])):
        reach = tolerance * np.array([-1, -1, 1, 1])
        found, limit = extent(mask.mask), box + reach
        limit = np.clip([*np.ceil(limit[:2] - 0.5), *np.floor(limit[2:] + 0.5)], 0, None)
        assert (found[:2] >= limit[:2]).all() and (found[2:] <= limit[2:]).all()
        if refine == 'none':
            np.testing.assert_array_equal(found, limit)


def test_released_masks_reach_up_to_a_pixel_beyond_on_the_right_and_below(model):
    released, exact = (
        label(engine(model, box_tolerance=tolerance, **ALL), blotches())
        for tolerance in ('released', 0)
    )
    for mask, clipped, box in zip(released[:4], exact[:4], BOXES[:4], strict=True):
        window = expand_fixed(box)[0]
        reach = np.ceil((window[2:] - window[:2]) / 32)  # one crop pixel
        found = extent(mask.mask)
        assert (found[:2] >= box[:2] - reach).all()
        assert (found[2:] > box[2:]).all() and (found[2:] <= box[2:] + 1 + reach).all()
        cut = np.zeros_like(mask.mask)
        x0, y0, x1, y1 = box.astype(int)
        cut[y0:y1, x0:x1] = mask.mask[y0:y1, x0:x1]
        np.testing.assert_array_equal(clipped.mask, cut)


def test_masks_are_cut_at_the_box_unless_crops_are_the_authors(model):
    assert engine(model).box_tolerance == 0
    assert engine(model, exact_crops=True).box_tolerance == 'released'
    assert engine(model, exact_crops=True, box_tolerance=0).box_tolerance == 0
    assert engine(model, box_tolerance='released').box_tolerance == 'released'


@pytest.mark.parametrize(('old', 'new'), [(False, 'none'), (True, 'mean-field')])
def test_refine_of_old_configs_means_what_it_did(model, old, new):
    assert engine(model, refine=old).refine == new
    masks, expected = (label(engine(model, refine=value), blotches()) for value in (old, new))
    assert [mask.rle for mask in masks] == [mask.rle for mask in expected]


def test_batches_are_filled_across_images_by_size_and_change_no_mask(model):
    images = {name: blotches(seed=i) for i, name in enumerate('acd')}
    boxes = {'a': BOXES[:2], 'c': BOXES, 'd': BOXES[3:]}
    alone = engine(model)
    expected = [mask for name in images for mask in label(alone, images[name], boxes[name])]
    assert alone.batches == [2, 5, 2]

    batched = engine(model, batch_size=4)
    crops = [crop for name in images for crop in batched.make_crops(images[name], boxes[name])]
    masks = batched.label(crops)
    assert batched.batches == [4, 4, 1]
    assert [mask.box.tolist() for mask in masks] == [crop.box.tolist() for crop in crops]
    for mask, other in zip(masks, expected, strict=True):
        # sums in another order may tip a pixel that lies on the threshold
        assert (mask.mask != other.mask).sum() <= 2
        assert mask.quality == pytest.approx(other.quality, abs=1e-4)


def test_each_size_of_box_has_its_own_threshold(model):
    thresholds = {'small': 0.2, 'medium': 0.5, 'large': 0.9}
    boxes = {'small': [5, 5, 36, 36], 'medium': [5, 5, 37, 37], 'large': [0, 0, 119, 89]}
    together = engine(model, mask_threshold=list(thresholds.values()))
    image = blotches()
    for size, mask in zip(boxes, label(together, image, list(boxes.values())), strict=True):
        (alone,) = label(engine(model, mask_threshold=thresholds[size]), image, [boxes[size]])
        assert (mask.mask != alone.mask).sum() <= 2, size
        assert mask.quality == pytest.approx(alone.quality, abs=1e-4)


def test_several_margins_average_the_probabilities(model):
    image, margins = blotches(), (0.3, 0.8)
    both = engine(model, margin=margins, box_tolerance='released')
    total = np.zeros((90, 120))
    for margin in margins:
        single = engine(model, margin=margin)
        (drawing,) = single.draw(single.make_crops(image, BOXES[:1]))
        (top, left), (h, w) = drawing.corner, drawing.probs.shape
        total[top : top + h, left : left + w] += drawing.probs / 2
    (mask,) = label(both, image, BOXES[:1])
    assert both.batches == [2]
    assert (mask.mask != (total > 0.5)).sum() <= 2


class Filling(LabelingEngine):
    """Fills the disc of every box, as labelers do with rings."""

    def draw(self, crops, on_looked=None):
        drawings = []
        for crop in crops:
            left, top, right, bottom = crop.box.astype(int)
            y, x = np.mgrid[: bottom - top, : right - left] + 0.5
            disc = np.hypot(y - (bottom - top) / 2, x - (right - left) / 2) < (right - left) / 2
            drawings.append(Drawing(disc.astype(np.float32), (top, left), 1.0))
        return drawings


@pytest.mark.parametrize('margin', [0.3, (0.3, 0.8)])
@pytest.mark.parametrize('corner', [(0, 0), (40, 60)])
def test_holes_are_carved_by_the_pixels_around_each_box(model, margin, corner):
    top, left = corner
    y, x = np.mgrid[:90, :120] + 0.5
    distance = np.hypot(y - top - 25, x - left - 25)
    image = np.full((90, 120, 3), 60, dtype=np.uint8)
    image[(distance > 12) & (distance < 25)] = (200, 60, 50)
    options = {'margin': margin, 'crop_size': 64, 'carve_holes': True}
    (mask,) = label(Filling(model, **options), image, [[left, top, left + 50, top + 50]])
    assert not mask.mask[distance < 10].any()
    assert mask.mask[(distance > 15) & (distance < 24)].all()
    assert mask.area == mask.mask.sum()


def test_resolved_instances_of_an_image_share_no_pixel(model):
    image = blotches()
    plain = label(engine(model), image)
    centred = engine(model, overlaps='centre')
    resolved = label(centred, image)
    claimed = sum(mask.mask.astype(int) for mask in plain)
    kept = sum(mask.mask.astype(int) for mask in resolved)
    assert claimed.max() > 1
    np.testing.assert_array_equal(kept, claimed > 0)
    claims = [Claim(mask.mask, 0, 0, box) for mask, box in zip(plain, BOXES, strict=True)]
    for mask, region in zip(resolved, resolve_overlaps(claims, (90, 120)), strict=True):
        np.testing.assert_array_equal(mask.mask, region)
        assert mask.area == region.sum()
    crops = centred.make_crops(image, BOXES)
    apart = centred.label(crops, image_keys=range(len(BOXES)))
    for mask, other in zip(apart, plain, strict=True):  # each of an image of its own
        np.testing.assert_array_equal(mask.mask, other.mask)


@pytest.mark.parametrize('order', [[4, 3, 2, 1, 0], [2, 0, 4, 1, 3]])
def test_the_order_of_the_boxes_changes_no_mask(model, order):
    for options in ({'overlaps': 'centre'}, {'refine': 'instant', 'overlaps': 'centre'}):
        masks = label(engine(model, **options), blotches())
        again = label(engine(model, **options), blotches(), BOXES[order])
        assert [mask.rle for mask in again] == [masks[n].rle for n in order]


def test_progress_counts_every_box_once(model):
    drawn = []
    several = engine(model, margin=(0.3, 0.8), batch_size=3)
    several.label(several.make_crops(blotches(), BOXES), on_drawn=drawn.append)
    assert len(drawn) == 4 and sum(drawn) == len(BOXES)


def test_the_networks_and_flips_draw_different_masks(model):
    masks = {
        (network, flip): label(engine(model, network=network, flip=flip), blotches())[0].rle[
            'counts'
        ]
        for network in ('teacher', 'student', 'both')
        for flip in (False, True)
    }
    assert len(set(masks.values())) == 6


def test_a_higher_threshold_leaves_a_part_of_the_mask(model):
    low, high = (label(engine(model, mask_threshold=t), blotches())[0].mask for t in (0.1, 0.9))
    assert high.sum() < low.sum()
    assert (low | ~high).all()


def test_a_box_of_any_size_is_labelled_by_what_lies_in_the_image(model):
    image = blotches()
    huge, tiny, slip = label(
        engine(model), image, [[-1e9, -1e9, 1e18, 1e18], [3, 3, 3.001, 3.001], [-9, 4, 0.1, 9]]
    )
    assert huge.rle['size'] == tiny.rle['size'] == [90, 120]
    assert tiny.area <= 9
    assert slip.area <= 20


def test_the_padding_reaches_the_crops(model):
    image, box = blotches(), BOXES[2]
    wrapped, mean = (
        engine(model, padding=padding, margin=0.5).make_crops(image, [box])[0].pixels
        for padding in ('wrap', 'mean')
    )
    assert mean[0, 0].tolist() == [124, 116, 104]
    assert (wrapped != mean).any()


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'mask_threshold': 1}, r'`mask_threshold` must be in \[0, 1\), .*, got 1'),
        ({'mask_threshold': [0.1, 0.2]}, 'one for all or three'),
        ({'margin': -0.1}, '`margin` must be >= 0, got -0.1'),
        ({'mask_threshold': float('nan')}, 'got nan'),
        ({'network': 'pupil'}, "`network` must be one of .*, got 'pupil'"),
        ({'refine': 'crf'}, "`refine` must be one of .*'instant'.*, got 'crf'"),
        ({'overlaps': 'probability'}, "`overlaps` must be one of .*, got 'probability'"),
        ({'box_tolerance': -1}, "must be a number of pixels >= 0 or 'released', got -1"),
        ({'box_tolerance': float('nan')}, 'got nan'),
        ({'box_tolerance': 'loose'}, "got 'loose'"),
        ({'padding': 'zero'}, "`padding` must be one of .*, got 'zero'"),
        ({'batch_size': 0}, '`batch_size` must be at least 1, got 0'),
    ],
)
def test_options_outside_their_range_are_refused(model, options, message):
    with pytest.raises(ValueError, match=message):
        engine(model, **options)
