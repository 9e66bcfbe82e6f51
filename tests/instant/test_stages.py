"""Threshold, GrabCut and colour field, one after the other."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sharp_labeler import blotches

from mal_mm.instant import box_consistent_thresholds, colour_stages, recentre
from mal_mm.instant.stages import SIZE, SLACK, shrink

S, H = 224, 16
WHOLE = (0.0, 0, S, S)
RED, GREEN = (200, 60, 50), (40, 150, 60)
ROWS, COLUMNS = np.mgrid[:S, :S] + 0.5


def disc(radius, row=112, column=112):
    return np.hypot(ROWS - row, COLUMNS - column) < radius


def picture(thing):
    image = np.where(thing[..., None], RED, GREEN)
    noise = np.random.default_rng(0).normal(0, 5, image.shape)
    return (image + noise).clip(0, 255).astype(np.uint8)


def tokens_of(mask, yes=0.8, no=0.1):
    """(h, h) what a vote of tokens would say of a mask."""
    share = cv2.resize(mask.astype(np.float32), (H, H), interpolation=cv2.INTER_AREA)
    return torch.from_numpy(no + (yes - no) * share)


def run(probs, boxes, crops, in_image=WHOLE, **options):
    boxes = torch.tensor(boxes, dtype=torch.float32)
    shown = torch.tensor([in_image] * len(crops), dtype=torch.float32)
    return colour_stages(torch.stack(list(probs)), boxes, shown, crops, **options)


def at_size(mask):
    shrunk = cv2.resize(mask.astype(np.float32), (SIZE, SIZE), interpolation=cv2.INTER_AREA)
    return shrunk > 0.5


def iou(a, b):
    return (a & b).sum() / (a | b).sum()


def test_a_coarse_vote_becomes_the_object():
    things = [disc(70), disc(50, row=100) | (abs(COLUMNS - 112) < 12) & (abs(ROWS - 112) < 85)]
    boxes = [[42, 42, 182, 182], [62, 27, 162, 197]]
    drawn = run(map(tokens_of, things), boxes, [picture(thing) for thing in things])
    assert drawn.probs.shape == drawn.before.shape == (2, SIZE, SIZE)
    for thing, after, before in zip(things, drawn.probs, drawn.before, strict=True):
        assert iou(after.numpy() > 0.5, at_size(thing)) > 0.97
        assert iou(before.numpy() > 0.5, at_size(thing)) < iou(after.numpy() > 0.5, at_size(thing))


def test_before_the_colours_stand_the_centred_probabilities_of_the_loose_box():
    probs = tokens_of(disc(70))
    box = torch.tensor([[42.0, 42, 182, 182]])
    drawn = run([probs], box.tolist(), [picture(disc(70))])
    on_map = torch.nn.functional.interpolate(probs[None, None], (SIZE, SIZE), mode='bilinear')[0]
    expected = recentre(on_map, box_consistent_thresholds(on_map, box * SIZE / S))[0]
    reach = SLACK * 140
    cells = torch.arange(SIZE)
    low, high = (42 - reach) * SIZE / S, (182 + reach) * SIZE / S
    cover = (torch.minimum(cells + 1, torch.tensor(high)) - cells.clamp(min=low)).clamp(0, 1)
    expected = expected * (cover[:, None] * cover > 0.5)
    torch.testing.assert_close(drawn.before[0], expected, atol=1e-5, rtol=0)


def test_colours_may_speak_a_little_beyond_the_box_and_no_further():
    # the box is drawn 3 px too small on every side, then 20
    thing = disc(70)
    for short, reached in ((3, True), (20, False)):
        box = [42 + short, 42 + short, 182 - short, 182 - short]
        mask = run([tokens_of(thing)], [box], [picture(thing)]).probs[0].numpy() > 0.5
        rows = np.flatnonzero(mask.any(1)) * S / SIZE
        reach = SLACK * (140 - 2 * short)
        assert rows.min() >= box[1] - reach - S / SIZE
        assert (rows.min() < box[1]) and (rows.min() < 44) == reached


@settings(max_examples=4, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_probabilities_lie_in_0_to_1_and_in_the_loose_box(seed):
    random = np.random.default_rng(seed)
    low, high = random.uniform(0, 90, (2, 2)), random.uniform(100, S, (2, 2))
    boxes = np.concatenate([low, high], 1)
    probs = torch.from_numpy(random.random((2, H, H), dtype=np.float32))
    drawn = run(probs, boxes.tolist(), [blotches(S, S, seed + n) for n in range(2)])
    middles = (np.arange(SIZE) + 0.5) * S / SIZE
    for box, *maps in zip(boxes, drawn.probs.numpy(), drawn.before.numpy(), strict=True):
        reach = SLACK * (box[2:] - box[:2]) + S / SIZE
        columns = (middles > box[0] - reach[0]) & (middles < box[2] + reach[0])
        rows = (middles > box[1] - reach[1]) & (middles < box[3] + reach[1])
        for each in maps:
            assert ((each >= 0) & (each <= 1)).all()
            assert (each[~(rows[:, None] & columns)] == 0).all()


def test_the_order_of_crops_and_the_threads_change_nothing():
    things = [disc(70), disc(55, row=120), disc(60, column=90)]
    boxes = [[42, 42, 182, 182], [57, 65, 167, 175], [30, 52, 150, 172]]
    crops = [picture(thing) for thing in things]
    probs = [tokens_of(thing) for thing in things]
    drawn = run(probs, boxes, crops)
    order = [2, 0, 1]
    with ThreadPoolExecutor(2) as pool:
        again = run(
            [probs[n] for n in order],
            [boxes[n] for n in order],
            [crops[n] for n in order],
            map_each=pool.map,
        )
    torch.testing.assert_close(again.probs, drawn.probs[order], atol=1e-4, rtol=0)
    assert torch.equal(again.before, drawn.before[order])
    assert torch.equal(run(probs, boxes, crops).probs, drawn.probs)


def test_padding_is_no_background_that_colours_are_learned_from():
    # half the crop is padding that repeats the object
    thing = disc(60, row=112, column=70)
    padding = COLUMNS > 150
    crop = picture(thing | padding)
    box = [[10, 52, 130, 172]]
    hidden = run([tokens_of(thing, yes=0.55)], box, [crop], in_image=(0, 0, 150, S)).probs[0]
    seen = run([tokens_of(thing, yes=0.55)], box, [crop]).probs[0]
    inner = torch.from_numpy(at_size(disc(50, row=112, column=70)))
    assert hidden[inner].mean() >= seen[inner].mean()
    assert iou(hidden.numpy() > 0.5, at_size(thing)) > 0.95


@pytest.mark.parametrize('box', [[100, 100, 100, 100], [0, 0, 0, 0]])
def test_a_box_without_extent_gives_an_empty_mask(box):
    drawn = run([torch.full((H, H), 0.9)], [box], [picture(disc(70))])
    assert drawn.probs.max() <= 0.5 or drawn.probs.sum() == 0


def test_crops_are_shrunk_by_averaging():
    crop = np.zeros((2 * SIZE, 2 * SIZE, 3), dtype=np.uint8)
    crop[::2, ::2] = 200  # a quarter of the pixels
    shrunk = shrink(crop)
    assert shrunk.shape == (SIZE, SIZE, 3)
    assert (shrunk == 50).all()
    # planes first, as the quick kernel leaves them, is no other picture
    turned = np.ascontiguousarray(crop.transpose(2, 0, 1)).transpose(1, 2, 0)
    np.testing.assert_array_equal(shrink(turned), shrunk)
