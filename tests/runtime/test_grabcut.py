"""The cut along colours."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sharp_labeler import blotches

from mal_mm.instant import colour_cut
from mal_mm_runtime.grabcut import MAX_CHANGE, SURE_BACKGROUND, SURE_FOREGROUND

S = 48
ROWS, COLUMNS = np.mgrid[:S, :S]
EVERYWHERE = np.ones((S, S), dtype=bool)
RED, GREEN, BLUE = (200, 60, 50), (40, 150, 60), (60, 80, 200)


def disc(radius, row=24, column=24):
    return (ROWS - row) ** 2 + (COLUMNS - column) ** 2 <= radius**2


def paint(*layers, ground=GREEN):
    """Layers (where, colour) over the ground, with noise."""
    image = np.empty((S, S, 3))
    image[:] = ground
    for where, colour in layers:
        image[where] = colour
    noise = np.random.default_rng(0).normal(0, 5, image.shape)
    return (image + noise).clip(0, 255).astype(np.uint8)


def believe(mask, yes=0.8, no=0.2):
    return np.where(mask, yes, no).astype(np.float32)


def iou(a, b):
    return (a & b).sum() / (a | b).sum()


@pytest.mark.parametrize('start', [disc(9), disc(15), disc(12, column=20)])
def test_a_vague_mask_becomes_the_object_of_its_colour(start):
    thing = disc(12)
    assert iou(start, thing) < 0.7
    cut = colour_cut(believe(start), paint((thing, RED)), EVERYWHERE)
    assert cut.dtype == bool
    assert iou(cut, thing) > 0.97


def test_what_is_sure_stays_whatever_its_colour():
    thing = disc(12)
    eye, patch = disc(3), disc(2, row=40)
    image = paint((thing, RED), (eye, GREEN), (patch, RED))
    cut = colour_cut(believe(thing), image, EVERYWHERE)
    assert not cut[eye].any() and cut[patch].all()
    probs = believe(thing)
    probs[eye], probs[patch] = SURE_FOREGROUND + 0.01, SURE_BACKGROUND - 0.01
    cut = colour_cut(probs, image, EVERYWHERE)
    assert cut[eye].all() and not cut[patch].any()
    assert iou(cut, thing) > 0.97


def test_nothing_is_cut_out_where_the_object_may_not_be():
    allowed = COLUMNS < 30
    cut = colour_cut(believe(disc(12), yes=0.99), paint((disc(12), RED)), allowed)
    np.testing.assert_array_equal(cut, disc(12) & allowed)


def test_a_cut_that_changes_the_area_too_much_is_not_taken():
    # all that is not sure background has the object's colour
    image, small = paint((disc(20), RED)), disc(6)
    grown = disc(20).sum() / small.sum()
    assert grown > MAX_CHANGE
    cut = colour_cut(believe(small), image, EVERYWHERE)
    np.testing.assert_array_equal(cut, small)


@pytest.mark.parametrize('value', [0.1, 0.5, 0.9])
def test_without_pixels_of_both_kinds_nothing_is_cut(value):
    probs = np.full((S, S), value, dtype=np.float32)
    np.testing.assert_array_equal(colour_cut(probs, paint(), EVERYWHERE), probs > 0.5)
    assert not colour_cut(probs, paint(), ~EVERYWHERE).any()


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), exponent=st.sampled_from([0.3, 1, 3]))
def test_any_cut_is_a_part_of_what_is_allowed_and_of_a_like_area(seed, exponent):
    random = np.random.default_rng(seed)
    vague = cv2.resize(random.random((5, 5)) ** exponent, (24, 24)).astype(np.float32)
    allowed = random.random((24, 24)) < 0.9
    start = (vague > 0.5) & allowed
    cut = colour_cut(vague, blotches(24, 24, seed), allowed)
    assert not (cut & ~allowed).any()
    assert cut.sum() == start.sum() or 0.5 < cut.sum() / start.sum() < 2


def test_every_run_and_every_thread_cuts_alike(load_reference):
    arrays = load_reference('instant')
    photographs = [arrays[name][:3] for name in ('centred_168', 'crops_168', 'box_mask_168')]
    once = list(map(colour_cut, *photographs))
    cv2.setRNGSeed(12345)
    with ThreadPoolExecutor(3) as pool:
        again = list(pool.map(colour_cut, *(each[::-1] for each in photographs)))[::-1]
    np.testing.assert_array_equal(once, again)


def test_what_it_is_given_is_left_as_it_is():
    probs, image, allowed = believe(disc(9)), paint((disc(12), RED)), disc(20)
    before = probs.copy(), image.copy(), allowed.copy()
    colour_cut(probs, image, allowed)
    for now, then in zip((probs, image, allowed), before, strict=True):
        np.testing.assert_array_equal(now, then)


def test_masks_are_those_of_the_measured_prototype(load_reference):
    arrays = load_reference('instant')
    for n in range(5):
        cut = colour_cut(
            arrays['centred_168'][n], arrays['crops_168'][n], arrays['box_mask_168'][n]
        )
        assert iou(cut, arrays['grabcut_168'][n]) >= 0.99, n
