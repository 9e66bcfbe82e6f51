"""The mean field over colours and neighbours: by a slow definition, and by what it is for."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from mal_mm.instant import colour_field

S = 24
ROWS, COLUMNS = np.mgrid[:S, :S]
SEEDS = st.integers(0, 10**6)
RED, GREEN = (50.0, 60, 40), (60.0, -50, 40)


def field(probs, lab, in_image=None, allowed=None):
    """One crop of numpy arrays, (3, s, s) colours."""
    everywhere = np.ones(probs.shape, dtype=bool)
    maps = (
        probs.astype(np.float32),
        lab.astype(np.float32),
        everywhere if in_image is None else in_image,
        everywhere if allowed is None else allowed,
    )
    return colour_field(*(torch.from_numpy(each)[None] for each in maps))[0].numpy()


def flat(s=S):
    return np.tile(np.reshape(GREEN, (3, 1, 1)), (1, s, s))


def paint(*layers):
    lab = flat()
    for where, colour in layers:
        lab[:, where] = np.reshape(colour, (3, 1))
    return lab


def random_batch(seed, N=3, s=16):
    generator = torch.Generator().manual_seed(seed)
    # a few smooth spots, and colours that follow them by and large
    coarse = torch.randn(N, 4, 4, 4, generator=generator)
    spots = torch.nn.functional.interpolate(coarse, (s, s), mode='bicubic')
    probs = (3 * spots[:, 0]).sigmoid()
    lab = 40 + 15 * (spots[:, 1:] + spots[:, :1] + torch.rand(N, 3, s, s, generator=generator))
    in_image, allowed = torch.ones(2, N, s, s, dtype=torch.bool)
    in_image[:, :, s - 2 :] = False
    allowed[:, :2] = allowed[:, :, :1] = False
    return probs, lab, in_image, allowed


# -- the definition -------------------------------------------------------------------------------


def slow_field(probs, lab, in_image, allowed):
    """Pixel by pixel, in double precision: two models of colours, four steps of each."""
    s = len(probs)
    known = np.log(probs.clip(0.02, 0.98) / (1 - probs.clip(0.02, 0.98)))
    # cells of the colours
    ordered = np.sort(lab.reshape(3, -1), 1)
    cut = int(0.005 * s * s)
    low, high = ordered[:, cut], ordered[:, s * s - 1 - cut]
    span = max((high - low).max(), 16)
    cells = ((lab - ((low + high) / 2)[:, None, None]) / span + 0.5) * 15
    cells = tuple(np.round(cells.clip(0, 15)).astype(int))
    kernel = np.exp(-0.5 * (np.arange(-3, 4) / 0.7) ** 2)
    kernel /= kernel.sum()

    def shares(weights):
        counts = np.zeros((16, 16, 16))
        np.add.at(counts, cells, weights)
        for axis in range(3):
            counts = ndimage.correlate1d(counts, kernel, axis, mode='constant')
        return counts / max(weights.sum(), 1)

    # links between neighbours
    offsets = [
        (d * down, d * right, np.hypot(down, right))
        for d in (1, 2, 4)
        for down, right in ((0, 1), (1, 0), (1, 1), (1, -1))
    ]

    def pairs(dy, dx):
        for y in range(s):
            for x in range(s):
                if 0 <= y + dy < s and 0 <= x + dx < s:
                    yield (y, x), (y + dy, x + dx)

    def squared(one, other):
        return ((lab[(slice(None), *one)] - lab[(slice(None), *other)]) ** 2).sum()

    nearest = [squared(*pair) for dy, dx, _ in offsets[:4] for pair in pairs(dy, dx)]
    scale = max(2 * np.mean(nearest), 0.5)
    links = [
        (one, other, np.exp(-squared(one, other) / scale) / length)
        for dy, dx, length in offsets
        for one, other in pairs(dy, dx)
    ]
    z = np.where(allowed, known, -12)
    for _ in range(2):
        belief = 1 / (1 + np.exp(-z))
        inside, outside = shares(belief * in_image), shares((1 - belief) * in_image)
        evidence = np.log((inside[cells] + 1e-3) / (outside[cells] + 1e-3))
        u = known + evidence.clip(-3, 3)
        for _ in range(4):
            message = np.zeros((s, s))
            for one, other, weight in links:
                message[one] += weight * np.tanh(z[other] / 2)
                message[other] += weight * np.tanh(z[one] / 2)
            z = np.where(allowed, (u + message).clip(-12, 12), -12)
    return np.where(allowed, 1 / (1 + np.exp(-z)), 0)


@pytest.mark.parametrize('seed', range(4))
def test_the_field_is_the_plain_definition(seed):
    maps = random_batch(seed, N=1, s=9)
    found = colour_field(*maps)[0].numpy()
    probs, lab, in_image, allowed = (each[0].numpy() for each in maps)
    expected = slow_field(probs.astype(float), lab.astype(float), in_image, allowed)
    np.testing.assert_allclose(found, expected, atol=1e-3)
    assert 0.05 < (found > 0.5).mean() < 0.95


def test_on_one_colour_the_neighbours_decide():
    # 5 x 5, all sure but for the middle, which follows the sixteen that it is linked to
    probs = np.full((5, 5), 0.98)
    probs[2, 2] = 0.02
    z = field(probs, flat(5))
    assert (z > 0.99).all()
    # the colours say nothing: there is one, and it is as much inside as outside
    np.testing.assert_allclose(
        z, slow_field(probs, flat(5), np.ones((5, 5)), np.ones((5, 5), dtype=bool)), atol=1e-4
    )


# -- what it is for -------------------------------------------------------------------------------


@pytest.mark.parametrize('side', [COLUMNS < 12, COLUMNS >= 12, ROWS < 12, ROWS + COLUMNS < 24])
def test_flat_colours_leave_clear_decisions_as_they_are(side):
    found = field(np.where(side, 0.95, 0.05), flat())
    np.testing.assert_array_equal(found > 0.5, side)
    assert (np.abs(found - 0.5) > 0.45).all()


@pytest.mark.parametrize('inner', [slice(8, 18), slice(4, 19)])
def test_doubtful_edges_move_to_where_colours_change(inner):
    # a square of a colour of its own; the start is a smaller or a larger one, and none too sure
    thing = (abs(ROWS - 11.5) < 6) & (abs(COLUMNS - 11.5) < 6)
    start = np.full((S, S), 0.2)
    start[inner, inner] = 0.7
    assert ((start > 0.5) != thing).sum() > 40
    found = field(start, paint((thing, RED)))
    np.testing.assert_array_equal(found > 0.5, thing)


def test_a_colour_beside_the_image_is_no_evidence():
    # the padding shows the object's colour and counts as background
    thing, padding = (COLUMNS > 8) & (COLUMNS < 12) & (ROWS < 12), COLUMNS >= 16
    lab = paint((thing, RED), (padding, RED))
    odds = [
        np.log(found / (1 - found))[thing].mean()
        for found in (
            field(np.where(thing, 0.5, 0.1), lab, in_image=shown) for shown in (~padding, None)
        )
    ]
    assert odds[0] > odds[1] + 0.5


def test_where_nothing_is_allowed_nothing_is():
    thing = COLUMNS < 12
    allowed = ROWS < 12
    found = field(np.where(thing, 0.98, 0.02), paint((thing, RED)), allowed=allowed)
    assert (found[~allowed] == 0).all()
    np.testing.assert_array_equal(found > 0.5, thing & allowed)
    assert (field(np.full((S, S), 0.9), flat(), allowed=ROWS < 0) == 0).all()


@settings(max_examples=12, deadline=None)
@given(seed=SEEDS)
def test_probabilities_lie_in_0_to_1_and_where_allowed(seed):
    maps = random_batch(seed)
    found = colour_field(*maps)
    assert found.dtype == torch.float32
    assert ((found >= 0) & (found <= 1)).all()
    assert (found[~maps[3]] == 0).all()


@settings(max_examples=12, deadline=None)
@given(seed=SEEDS, dim=st.sampled_from([1, 2]))
def test_a_mirrored_crop_gives_the_mirrored_field(seed, dim):
    maps = random_batch(seed)
    found = colour_field(*maps)
    again = colour_field(*(each.flip(each.ndim - dim) for each in maps))
    torch.testing.assert_close(again.flip(3 - dim), found, atol=1e-3, rtol=0)


@settings(max_examples=12, deadline=None)
@given(seed=SEEDS, order=st.permutations(range(3)))
def test_crops_do_not_see_each_other(seed, order):
    maps = random_batch(seed)
    found = colour_field(*maps)
    again = colour_field(*(each[order] for each in maps))
    torch.testing.assert_close(again, found[order], atol=1e-4, rtol=0)


def test_what_it_is_given_is_left_as_it_is():
    maps = random_batch(0)
    before = [each.clone() for each in maps]
    colour_field(*maps)
    assert all(torch.equal(now, then) for now, then in zip(maps, before, strict=True))
