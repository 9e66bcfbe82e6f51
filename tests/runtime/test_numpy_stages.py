"""The stages in numpy say what those in torch say, on crops of drawn things."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from kornia.color import rgb_to_lab

from mal_mm.geometry import box_to_crop, crop_window, draw_box_masks, expand_fixed
from mal_mm.instant import box_threshold, stages
from mal_mm.labeling import quality
from mal_mm.labeling.window_sampling import sample_windows
from mal_mm.models.data_preprocessor import IMAGENET_MEAN, IMAGENET_STD
from mal_mm.samples.shapes import draw_scene
from mal_mm_runtime import box_threshold as box_threshold_numpy
from mal_mm_runtime import colour_field, maps, sampling
from mal_mm_runtime import quality as quality_numpy
from mal_mm_runtime import stages as stages_numpy
from mal_mm_runtime.windows import boxes_on_maps

pytestmark = pytest.mark.slow

S, SIZE = 96, 256


@pytest.fixture(scope='module')
def things():
    """Crops of a drawn picture, their boxes, and a blurred guess at each object."""
    image, instances = draw_scene(SIZE, 0, 'train', 1)
    boxes, crops, guesses, windows = [], [], [], []
    for _, mask in instances:
        rows, columns = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
        box = np.array([columns[0], rows[0], columns[-1] + 0.7, rows[-1] + 0.4])
        window = expand_fixed(box)[0]
        grey = np.repeat(mask[..., None] * np.uint8(200) + np.uint8(20), 3, axis=2)
        boxes.append(box)
        windows.append(window)
        crops.append(crop_window(image, window, S, exact=False))
        guesses.append(crop_window(grey, window, 16, exact=False)[..., 0] / np.float32(255))
    boxes, windows, hws = np.array(boxes), np.array(windows), [(SIZE, SIZE)] * len(boxes)
    whole = np.array([[0.0, 0, SIZE, SIZE]]).repeat(len(boxes), 0)
    return dict(
        crops=crops,
        probs=np.stack(guesses),
        boxes=boxes,
        windows=windows,
        hws=hws,
        exact=boxes_on_maps(boxes, windows, hws, S),
        in_image=boxes_on_maps(whole, windows, hws, S),
    )


@pytest.fixture(scope='module')
def drawn(things):
    arguments = (things['probs'], things['exact'], things['in_image'])
    tensors = (torch.from_numpy(each) for each in arguments)
    return (
        stages_numpy.colour_stages(*arguments, things['crops']),
        stages.colour_stages(*tensors, things['crops']),
    )


def test_probabilities_before_and_after_the_colours_are_the_same(drawn):
    for name in ('before', 'probs'):
        found, expected = getattr(drawn[0], name), getattr(drawn[1], name).numpy()
        np.testing.assert_allclose(found, expected, atol=1e-4)
        assert 0.05 < (found > 0.5).mean() < 0.9


def test_thresholds_are_the_same(things):
    boxes = things['exact'] * np.float32(16 / S)
    found = box_threshold_numpy.box_consistent_thresholds(things['probs'], boxes)
    expected = box_threshold.box_consistent_thresholds(
        torch.from_numpy(things['probs']), torch.from_numpy(boxes)
    )
    np.testing.assert_array_equal(found, expected.numpy())
    assert len(set(found.tolist())) > 1


def test_lab_is_kornias(things):
    (crop, *_) = things['crops']
    expected = rgb_to_lab(torch.from_numpy(crop).permute(2, 0, 1) / 255)
    np.testing.assert_allclose(colour_field.rgb_to_lab(crop), expected.numpy(), atol=2e-3)


def test_box_masks_are_the_same(things):
    for size in (S, 24, 7):
        expected = draw_box_masks(torch.from_numpy(things['exact']), S, size)
        found = maps.draw_box_masks(things['exact'], S, size)
        np.testing.assert_allclose(found, expected.numpy(), atol=1e-6)


@pytest.mark.parametrize('are_logits', [False, True])
def test_pixels_of_the_windows_are_the_same(things, are_logits):
    boxes, windows, hws = (things[name] for name in ('boxes', 'windows', 'hws'))
    crop_boxes = np.stack(
        [box_to_crop(*each, S) for each in zip(boxes, windows, hws, strict=True)]
    )
    values = things['probs'] * 8 - 4 if are_logits else things['probs']
    arguments = (crop_boxes, windows, hws, S, are_logits)
    found = sampling.sample_windows(values, *arguments)
    expected = sample_windows(torch.from_numpy(values), *arguments)
    for (region, *corner), (other, *other_corner) in zip(found, expected, strict=True):
        assert corner == other_corner
        np.testing.assert_allclose(region, other, atol=1e-5)


def test_qualities_are_the_same(things, drawn):
    probs, crops = drawn[0].probs, things['crops']
    boxes = things['exact'] * np.float32(stages_numpy.SIZE / S)
    thresholds = np.full(len(probs), 0.5, dtype=np.float32)
    mean_std = IMAGENET_MEAN, IMAGENET_STD
    found = quality_numpy.mask_quality(probs, crops, mean_std, boxes, thresholds)
    images = (np.stack(crops) - np.float32(IMAGENET_MEAN)) / np.float32(IMAGENET_STD)
    expected = quality.mask_quality(
        torch.from_numpy(probs),
        torch.from_numpy(images).permute(0, 3, 1, 2),
        torch.from_numpy(boxes),
        torch.from_numpy(thresholds),
    )
    np.testing.assert_allclose(found, expected.numpy(), atol=1e-4)
    found = quality_numpy.instant_quality(found, drawn[0])
    np.testing.assert_allclose(
        found, quality.instant_quality(expected, drawn[1]).numpy(), atol=1e-4
    )
    assert found.min() > 0
