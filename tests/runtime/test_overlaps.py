"""Pixels that several instances claim go to one of them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mal_mm_runtime.overlaps import Claim, resolve_overlaps

HW = (9, 9)
# box corners in quarters of a pixel, and who claims what is drawn at random
BOXES = st.lists(
    st.tuples(st.integers(0, 16), st.integers(0, 16), st.integers(1, 20), st.integers(1, 20)),
    max_size=5,
)


def claim(box, mask=None):
    """All pixels that the box touches, or those of `mask`, (H, W) bool, among them."""
    box = np.array(box, dtype=np.float64)
    left, top = (int(v) for v in np.floor(box[:2]))
    right, bottom = (int(v) for v in np.ceil(box[2:]))
    region = np.ones((bottom - top, right - left), dtype=bool)
    if mask is not None:
        region &= mask[top:bottom, left:right]
    return Claim(region, top, left, box)


def random_claims(corners, seed):
    random = np.random.default_rng(seed)
    return [
        claim(np.array([x, y, x + w, y + h]) / 4, random.random(HW) < 0.8)
        for x, y, w, h in corners
    ]


def on_image(claims, masks):
    """(n, H, W) of all masks."""
    drawn = np.zeros((len(claims), *HW), dtype=bool)
    for place, each, mask in zip(drawn, claims, masks, strict=True):
        h, w = mask.shape
        place[each.top : each.top + h, each.left : each.left + w] = mask
    return drawn


def resolved(claims):
    return on_image(claims, resolve_overlaps(claims, HW))


def test_neighbours_of_one_size_are_parted_in_the_middle():
    # 4 x 3 boxes side by side, two columns in both; half sides of 2 around x = 2 and x = 4
    left, right = resolved([claim([0, 0, 4, 3]), claim([2, 0, 6, 3])])
    assert left[:3, :6].tolist() == [[True] * 3 + [False] * 3] * 3
    assert right[:3, :6].tolist() == [[False] * 3 + [True] * 3] * 3


def test_the_small_one_in_front_keeps_what_is_its_own():
    # areas 81 and 9: a score of 1.5 / 9 in the middle of the large one, 1 / 3 in the small one
    large, small = resolved([claim([0, 0, 9, 9]), claim([3, 3, 6, 6])])
    assert small[3:6, 3:6].all() and small.sum() == 9
    assert large.sum() == 81 - 9


@pytest.mark.parametrize(('mask', 'kept'), [(5, True), (6, True), (7, False), (8, False)])
def test_the_score_falls_with_the_distance_in_half_sides(mask, kept):
    # a row of pixels between boxes 8 x 8 around x = 4 and 4 x 4 around x = 9, all of row 4:
    # pixel x has 1.5 - |x + 0.5 - 4| / 4 over 8, and 1.5 - |x + 0.5 - 9| / 2 over 4
    scores = [
        (
            np.clip(1.5 - abs(x + 0.5 - 4) / 4, 0.05, 1.5) / 8,
            np.clip(1.5 - max(abs(x + 0.5 - 9), 0.5) / 2, 0.05, 1.5) / 4,
        )
        for x in range(9)
    ]
    row = np.ones((1, 9), dtype=bool)
    first = Claim(row, 4, 0, np.array([0.0, 0.5, 8, 8.5]))
    second = Claim(row, 4, 0, np.array([7.0, 3, 11, 7]))
    masks = resolve_overlaps([first, second], HW)
    assert masks[0][0, mask] == kept == (scores[mask][0] > scores[mask][1])
    assert masks[1][0, mask] != kept


def test_a_claim_far_from_ones_own_box_still_counts_a_little():
    # 1.5 - d would be negative for both; 0.05 / 3 is more than 0.05 / 9
    row = np.ones((1, 9), dtype=bool)
    small = Claim(row, 8, 0, np.array([0.0, 0, 3, 3]))
    large = Claim(row, 8, 0, np.array([0.0, -9, 9, 0]))
    first, second = resolve_overlaps([large, small], HW)
    assert second.all() and not first.any()


def test_of_equals_the_earlier_box_wins_in_any_order():
    # the middle column is as far from both
    left, right = claim([0, 0, 3, 3]), claim([2, 0, 5, 3])
    for order in ([left, right], [right, left]):
        masks = dict(zip(map(id, order), resolve_overlaps(order, HW), strict=True))
        assert masks[id(left)][:, 2].all()
        assert not masks[id(right)][:, 0].any()


def test_the_same_box_twice_is_the_same_object_twice():
    # another category for the same thing: neither comes out empty
    other = claim([2, 0, 6, 3])
    one, two, three = resolved([claim([0, 0, 4, 3]), claim([0, 0, 4, 3]), other])
    np.testing.assert_array_equal(one, two)
    np.testing.assert_array_equal(one, resolved([claim([0, 0, 4, 3]), other])[0])
    assert not (one & three).any()


def test_no_claims_and_empty_claims_give_nothing():
    assert resolve_overlaps([], HW) == []
    empty = Claim(np.zeros((0, 3), dtype=bool), 4, 4, np.array([4.0, 4, 7, 4.2]))
    masks = resolve_overlaps([empty, claim([3, 3, 6, 6])], HW)
    assert masks[0].shape == (0, 3)
    assert masks[1].all()


def slow_owner(claims, row, column):
    """Who gets a pixel, by the definition."""
    best = None
    for number, each in enumerate(claims):
        y, x = row - each.top, column - each.left
        h, w = each.mask.shape
        if not (0 <= y < h and 0 <= x < w and each.mask[y, x]):
            continue
        x0, y0, x1, y1 = each.box
        d = max(
            abs(column + 0.5 - (x0 + x1) / 2) / ((x1 - x0) / 2),
            abs(row + 0.5 - (y0 + y1) / 2) / ((y1 - y0) / 2),
        )
        score = np.float32(min(max(1.5 - d, 0.05), 1.5) / ((x1 - x0) * (y1 - y0)) ** 0.5)
        key = (-score, each.box.tolist())
        if best is None or key < best[0]:
            best = key, number
    return best and best[1]


@settings(max_examples=50, deadline=None)
@given(corners=BOXES, seed=st.integers(0, 99))
def test_every_pixel_goes_to_whom_the_definition_gives_it(corners, seed):
    claims = random_claims({tuple(c): c for c in corners}.values(), seed)
    masks = resolved(claims)
    for row in range(HW[0]):
        for column in range(HW[1]):
            owner = slow_owner(claims, row, column)
            expected = [number == owner for number in range(len(claims))]
            assert masks[:, row, column].tolist() == expected


@settings(max_examples=50, deadline=None)
@given(corners=BOXES, seed=st.integers(0, 99))
def test_no_pixel_is_lost_and_different_boxes_share_none(corners, seed):
    claims = random_claims(corners, seed)
    before = on_image(claims, [each.mask for each in claims])
    after = resolved(claims)
    assert not (after & ~before).any()
    np.testing.assert_array_equal(after.any(0), before.any(0))
    for n, one in enumerate(claims):
        for m, other in enumerate(claims[:n]):
            if one.box.tolist() != other.box.tolist():
                assert not (after[n] & after[m]).any()


@settings(max_examples=50, deadline=None)
@given(corners=BOXES, seed=st.integers(0, 99), random=st.randoms(use_true_random=False))
def test_the_order_of_the_claims_changes_nothing(corners, seed, random):
    claims = random_claims(corners, seed)
    order = random.sample(range(len(claims)), len(claims))
    again = resolved([claims[n] for n in order])
    np.testing.assert_array_equal(again, resolved(claims)[order])
