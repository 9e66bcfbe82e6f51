"""The threshold whose mask fits the box: by hand, by brute force, by the measured prototype."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from mal_mm.instant import box_consistent_thresholds, extent_iou, recentre
from mal_mm.instant.box_threshold import CANDIDATES

SEEDS = st.integers(0, 10**6)


def occupied(*places, s=4):
    return torch.tensor([[place in places for place in range(s)]])


@pytest.mark.parametrize(
    ('columns', 'rows', 'box', 'iou'),
    [
        ([1, 2], [0, 1], [1, 0, 3, 2], 1),
        ([1, 2], [0, 1], [0, 0, 4, 2], 4 / 8),
        ([0, 3], [0], [0, 0, 4, 1], 1),  # a gap does not matter
        ([1, 2], [0, 1], [2, 1, 4, 3], 1 / 7),
        ([1], [1], [1.25, 1, 2.25, 2], 0.75 / 1.25),
        ([0, 1], [0, 1], [3, 3, 4, 4], 0),
        ([], [], [0, 0, 2, 2], 0),
    ],
)
def test_the_extent_is_compared_with_the_box(columns, rows, box, iou):
    found = extent_iou(occupied(*columns), occupied(*rows), torch.tensor([box]).float())
    assert found.item() == pytest.approx(iou)


def steps(outer, inner):
    """6 x 6 cells: the inner 2 x 2 at one probability, the ring around it at another."""
    probs = torch.full((1, 6, 6), 0.01)
    probs[:, 1:5, 1:5] = outer
    probs[:, 2:4, 2:4] = inner
    return probs


@pytest.mark.parametrize(
    ('box', 'outer', 'inner', 'threshold'),
    [
        ([1, 1, 5, 5], 0.32, 0.92, 0.3),  # the last that keeps the ring
        ([2, 2, 4, 4], 0.32, 0.92, 0.5),  # all from 0.35 on fit
        ([2, 2, 4, 4], 0.62, 0.92, 0.65),  # the first that loses it
        ([1, 1, 5, 5], 0.62, 0.92, 0.5),
        ([1, 1, 5, 5], 0.02, 0.07, 0.5),  # all masks are empty
        ([2, 2, 4, 4], 0.85, 0.92, 0.5),  # none can lose the ring
    ],
)
def test_the_fitting_threshold_nearest_a_half_is_taken(box, outer, inner, threshold):
    found = box_consistent_thresholds(steps(outer, inner), torch.tensor([box]).float())
    assert found.item() == pytest.approx(threshold)


@pytest.mark.parametrize(('missing', 'threshold'), [(1, 0.5), (3, 0.2)])
def test_what_fits_nearly_as_well_counts_as_fitting(missing, threshold):
    # above 0.22 one or three of a hundred columns are lost: IoU 0.99 or 0.97
    probs = torch.full((1, 100, 100), 0.9)
    probs[:, :, 100 - missing :] = 0.22
    box = torch.tensor([[0.0, 0, 100, 100]])
    assert box_consistent_thresholds(probs, box).item() == pytest.approx(threshold)


def random_maps(seed, N=4, s=8):
    generator = torch.Generator().manual_seed(seed)
    probs = torch.rand(N, s, s, generator=generator) ** 3
    boxes = torch.rand(N, 4, generator=generator).sort(1).values * s
    return probs, boxes


def slow_fit(probs, box, threshold):
    rows, columns = np.nonzero(probs > np.float32(threshold))
    if not len(rows):
        return 0.0
    around = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
    width = max(min(around[2], box[2]) - max(around[0], box[0]), 0)
    height = max(min(around[3], box[3]) - max(around[1], box[1]), 0)
    areas = [(b[2] - b[0]) * (b[3] - b[1]) for b in (around, box)]
    return width * height / max(sum(areas) - width * height, 1e-6)


@settings(max_examples=40, deadline=None)
@given(seed=SEEDS)
def test_no_other_good_threshold_is_nearer_a_half(seed):
    probs, boxes = random_maps(seed)
    found = box_consistent_thresholds(probs, boxes)
    assert found.shape == (4,)
    for on_map, box, threshold in zip(probs.numpy(), boxes.numpy(), found.tolist(), strict=True):
        fits = [slow_fit(on_map, box, candidate) for candidate in CANDIDATES]
        (place,) = np.flatnonzero(np.isclose(CANDIDATES, threshold))
        assert fits[place] >= max(fits) - 0.02 - 1e-5
        surely_good = [
            abs(candidate - 0.5)
            for candidate, fit in zip(CANDIDATES, fits, strict=True)
            if fit >= max(fits) - 0.02 + 1e-5
        ]
        assert abs(threshold - 0.5) <= min(surely_good) + 1e-6


@settings(max_examples=40, deadline=None)
@given(seed=SEEDS)
def test_a_mirrored_map_has_the_same_threshold(seed):
    probs, boxes = random_maps(seed)
    boxes = boxes.round()  # whole cells: their mirror image is exact
    x0, y0, x1, y1 = boxes.unbind(1)
    mirrored = torch.stack([8 - x1, y0, 8 - x0, y1], 1)
    found = box_consistent_thresholds(probs, boxes)
    assert torch.equal(box_consistent_thresholds(probs.flip(-1), mirrored), found)


@settings(max_examples=40, deadline=None)
@given(seed=SEEDS, order=st.permutations(range(4)))
def test_maps_do_not_see_each_other(seed, order):
    probs, boxes = random_maps(seed)
    found = box_consistent_thresholds(probs, boxes)
    assert torch.equal(box_consistent_thresholds(probs[order], boxes[order]), found[order])


@pytest.mark.parametrize(
    ('p', 'threshold', 'moved'),
    [
        (0.3, 0.3, 0.5),
        (0.8, 0.5, 16 / 17),  # odds 4, squared
        (0.75, 0.6, 0.8),  # odds 3 to 1.5, squared
        (0.2, 0.5, 1 / 17),
    ],
)
def test_odds_are_counted_from_the_threshold_and_squared(p, threshold, moved):
    found = recentre(torch.full((1, 2, 2), p), torch.tensor([threshold]))
    np.testing.assert_allclose(found.numpy(), np.full((1, 2, 2), moved), rtol=1e-5)


@settings(max_examples=40, deadline=None)
@given(seed=SEEDS, threshold=st.sampled_from(CANDIDATES))
def test_the_mask_stays_and_so_does_the_order_of_its_probabilities(seed, threshold):
    probs, _ = random_maps(seed)
    moved = recentre(probs, torch.full((4,), threshold))
    assert ((moved >= 0) & (moved <= 1)).all()
    clear = (probs - threshold).abs() > 1e-4
    assert torch.equal((moved > 0.5)[clear], (probs > threshold)[clear])
    order = probs.flatten().argsort()
    assert (moved.flatten()[order].diff() >= -1e-6).all()


def test_certainty_has_odds_too():
    found = recentre(torch.tensor([[[0.0, 1.0]]]), torch.tensor([0.8]))
    assert found.isfinite().all()
    assert found[0, 0, 0] < 1e-6 and found[0, 0, 1] > 1 - 1e-6


def test_probabilities_are_those_of_the_measured_prototype(load_reference):
    arrays = {name: torch.from_numpy(values) for name, values in load_reference('instant').items()}
    inside = arrays['box_mask_168']
    probs = F.interpolate(arrays['vote_walk_2'][:, None], (168, 168), mode='bilinear')[:, 0]
    probs *= inside
    boxes = arrays['crop_boxes'] / 2
    found = recentre(probs, box_consistent_thresholds(probs, boxes)) * inside
    torch.testing.assert_close(found, arrays['centred_168'] * inside, atol=1e-3, rtol=0)
