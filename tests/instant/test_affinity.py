"""Vote and walk between tokens: by hand, by a slow definition, and by the measured prototype."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mal_mm.geometry import draw_box_masks
from mal_mm.instant import (
    background_seeds,
    centre_seeds,
    similarity_vote,
    token_affinity,
    vote_and_walk,
    walk,
    walk_logits,
)

SEEDS = st.integers(0, 10**6)


def random_crops(seed, N=3, h=5, crop_size=60):
    """Tokens of N crops, and boxes inside them."""
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.randn(N, 8, h, h, generator=generator)
    low = (0.1 + 0.3 * torch.rand(N, 2, generator=generator)) * crop_size
    high = (0.6 + 0.3 * torch.rand(N, 2, generator=generator)) * crop_size
    return tokens, torch.cat([low, high], 1), crop_size


def random_affinity(seed, n=9):
    return token_affinity(random_crops(seed, 1, math.isqrt(n))[0])


# -- affinity -------------------------------------------------------------------------------------


def test_likeness_is_the_cosine_after_what_is_common_is_gone():
    # four directions at right angles, moved far away together
    tokens = torch.tensor([[2.0, 0, -2, 0], [0, 3, 0, -3]]) + torch.tensor([[50.0], [70]])
    expected = torch.tensor([[1.0, 0, -1, 0], [0, 1, 0, -1], [-1, 0, 1, 0], [0, -1, 0, 1]])
    torch.testing.assert_close(
        token_affinity(tokens.view(1, 2, 2, 2))[0], expected, atol=1e-6, rtol=0
    )


def test_tokens_that_are_all_the_same_are_like_nothing():
    assert torch.equal(token_affinity(torch.ones(1, 4, 2, 2)), torch.zeros(1, 4, 4))


def test_half_floats_are_compared_as_floats():
    tokens = random_crops(0)[0].half()
    assert torch.equal(token_affinity(tokens), token_affinity(tokens.float()))


@settings(max_examples=40, deadline=None)
@given(seed=SEEDS)
def test_likeness_is_symmetric_and_at_most_1(seed):
    affinity = random_affinity(seed)
    assert affinity.shape == (1, 9, 9)
    torch.testing.assert_close(affinity, affinity.mT, atol=1e-6, rtol=0)
    assert affinity.abs().max() <= 1 + 1e-5
    torch.testing.assert_close(affinity[0].diagonal(), torch.ones(9), atol=1e-5, rtol=0)


# -- seeds ----------------------------------------------------------------------------------------


def test_seeds_fall_with_the_distance_in_half_sides():
    # 3 x 3 tokens of 2 px; the box is two tokens wide and three high
    found = centre_seeds(torch.tensor([[0.0, 0, 4, 6]]), crop_size=6, h=3)[0]
    x, y = [0.5, 0.5], [2 / 3, 0, 2 / 3]
    expected = [[math.exp(-(a * a + b * b)) for a in x] + [0] for b in y]
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-6)
    assert background_seeds(torch.tensor([[0.0, 0, 4, 6]]), 6, 3)[0].tolist() == [[0, 0, 1]] * 3


def test_a_token_is_in_the_box_by_more_than_half():
    # the first column is covered by half, the last row by two thirds
    box = torch.tensor([[3.0, 0, 18, 16]])
    assert background_seeds(box, 18, 3)[0].tolist() == [[1, 0, 0]] * 3
    assert (centre_seeds(box, 18, 3)[0] > 0).tolist() == [[False, True, True]] * 3


@settings(max_examples=40, deadline=None)
@given(seed=SEEDS)
def test_a_token_is_a_seed_of_one_side_only(seed):
    _, boxes, crop_size = random_crops(seed)
    foreground = centre_seeds(boxes, crop_size, 5)
    background = background_seeds(boxes, crop_size, 5)
    assert torch.equal(foreground > 0, background == 0)
    assert foreground.max() <= 1


def test_a_box_without_extent_has_no_foreground():
    box = torch.tensor([[7.0, 7, 7, 7]])
    assert centre_seeds(box, 15, 3).sum() == 0
    assert background_seeds(box, 15, 3).sum() == 9
    probs = vote_and_walk(torch.randn(1, 4, 3, 3), box, 15)
    assert torch.equal(probs, torch.zeros(1, 3, 3))


# -- vote -----------------------------------------------------------------------------------------


def vote(affinity, foreground, background):
    seeds = (torch.tensor([weights], dtype=torch.float32) for weights in (foreground, background))
    return similarity_vote(torch.tensor([affinity]), *seeds)[0].tolist()


def test_a_vote_is_the_share_of_the_likeness_to_the_foreground():
    apart = [[1.0, 0.8], [0.8, 1.0]]
    # e^10 for itself, e^8 for the other
    own = math.e**10 / (math.e**10 + math.e**8)
    assert vote(apart, [1, 0], [0, 1]) == pytest.approx([own, 1 - own])
    # means over the seeds, not sums: their number does not matter
    assert vote(apart, [7, 0], [0, 0.5]) == pytest.approx([own, 1 - own])
    # (e^10 + e^8) / 2 against e^8, and against e^10
    mean = (math.e**10 + math.e**8) / 2
    expected = [mean / (mean + math.e**8), mean / (mean + math.e**10)]
    assert vote(apart, [1, 1], [0, 1]) == pytest.approx(expected)


def test_without_background_all_is_foreground_and_without_foreground_nothing_is():
    affinity = [[1.0, -1], [-1, 1]]
    assert vote(affinity, [1, 0], [0, 0]) == [1, 1]
    assert vote(affinity, [0, 0], [0, 1]) == [0, 0]


@settings(max_examples=40, deadline=None)
@given(
    seed=SEEDS,
    token=st.integers(0, 8),
    source=st.integers(0, 8),
    target=st.integers(0, 8),
    part=st.floats(0, 1),
)
def test_a_vote_rises_as_foreground_moves_to_what_is_more_like_the_token(
    seed, token, source, target, part
):
    affinity = random_affinity(seed)
    if affinity[0, token, source] > affinity[0, token, target]:
        source, target = target, source
    seeds = torch.rand(2, 1, 9, generator=torch.Generator().manual_seed(seed)) + 0.01
    before = similarity_vote(affinity, *seeds)[0, token]
    moved = part * seeds[0, 0, source].clone()
    seeds[0, 0, source] -= moved
    seeds[0, 0, target] += moved
    assert similarity_vote(affinity, *seeds)[0, token] >= before - 1e-5


@settings(max_examples=40, deadline=None)
@given(seed=SEEDS, token=st.integers(0, 8), more=st.floats(0, 10))
def test_a_seed_is_never_hurt_by_its_own_weight(seed, token, more):
    affinity = random_affinity(seed)
    seeds = torch.rand(2, 1, 9, generator=torch.Generator().manual_seed(seed))
    before = similarity_vote(affinity, *seeds)[0, token]
    seeds[0, 0, token] += more
    assert similarity_vote(affinity, *seeds)[0, token] >= before - 1e-5


# -- walk -----------------------------------------------------------------------------------------


@pytest.mark.parametrize('likeness', [-0.9, 0.0, 0.9])
def test_two_tokens_are_each_others_only_neighbours(likeness):
    affinity = torch.tensor([[[1.0, likeness], [likeness, 1]]])
    found = walk(affinity, torch.tensor([[0.9, 0.1]]), torch.ones(1, 2))[0].tolist()
    # d <- 0.2 d0 - 0.8 d for the difference, ten times from d0 = 0.8; their sum stays 1
    difference = 0.8 * (1 / 9 + 8 / 9 * 0.8**10)
    assert found == pytest.approx([(1 + difference) / 2, (1 - difference) / 2])


def test_what_walks_out_of_the_box_is_lost():
    affinity = torch.tensor([[[1.0, 0.5], [0.5, 1]]])
    found = walk(affinity, torch.tensor([[0.9, 0.7]]), torch.tensor([[1.0, 0]]))
    # the neighbour has nothing from the first step on
    assert found[0].tolist() == pytest.approx([0.2 * 0.9, 0])


def test_three_tokens_share_by_likeness():
    # the first is like the second, e^10 times as much as the third
    affinity = torch.tensor([[[1.0, 1, 0], [1, 1, 0], [0, 0, 1]]])
    start = torch.tensor([[1.0, 0, 0]])
    p, near, far = start[0].tolist(), math.e**10 / (math.e**10 + 1), 1 / (math.e**10 + 1)
    for _ in range(10):
        p = [
            0.2 + 0.8 * (near * p[1] + far * p[2]),
            0.8 * (near * p[0] + far * p[2]),
            0.8 * (p[0] + p[1]) / 2,
        ]
    assert walk(affinity, start, torch.ones(1, 3))[0].tolist() == pytest.approx(p, abs=1e-6)


@settings(max_examples=40, deadline=None)
@given(seed=SEEDS)
def test_more_to_start_from_never_ends_with_less(seed):
    affinity = random_affinity(seed)
    generator = torch.Generator().manual_seed(seed)
    less, share, inside = torch.rand(3, 1, 9, generator=generator)
    more = less + share * (1 - less)
    assert (walk(affinity, more, inside) >= walk(affinity, less, inside) - 1e-6).all()


def test_a_lone_token_keeps_what_it_starts_anew_with():
    found = walk(torch.ones(1, 1, 1), torch.tensor([[0.6]]), torch.ones(1, 1))
    assert found.item() == pytest.approx(0.2 * 0.6)


# -- both -----------------------------------------------------------------------------------------


def slow_vote_and_walk(tokens, box, crop_size, rounds):
    """The recipe for one crop, token by token, in double precision."""
    C, h, _ = tokens.shape
    vectors = tokens.reshape(C, -1).T
    vectors = vectors - vectors.mean(0)
    vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    S, n = vectors @ vectors.T, h * h
    x0, y0, x1, y1 = box * h / crop_size
    w, o, inside = np.zeros(n), np.zeros(n), np.zeros(n)
    for row in range(h):
        for column in range(h):
            i = row * h + column
            width = min(column + 1, x1) - max(column, x0)
            height = min(row + 1, y1) - max(row, y0)
            inside[i] = max(width, 0) * max(height, 0)
            dx = (column + 0.5 - (x0 + x1) / 2) / ((x1 - x0) / 2)
            dy = (row + 0.5 - (y0 + y1) / 2) / ((y1 - y0) / 2)
            w[i] = np.exp(-(dx**2) - dy**2) if inside[i] > 0.5 else 0
            o[i] = inside[i] <= 0.5
    back = o
    for _ in range(rounds):
        f, g = (
            [
                sum(np.exp(S[i, j] / 0.1) * seeds[j] for j in range(n)) / seeds.sum()
                for i in range(n)
            ]
            for seeds in (w, back)
        )
        start = np.array([a / (a + b) for a, b in zip(f, g, strict=True)]) * inside
        A = np.exp(S / 0.1)
        np.fill_diagonal(A, 0)
        A /= A.sum(1, keepdims=True)
        p = start
        for _ in range(10):
            p = (0.2 * start + 0.8 * A @ p) * inside
        w = np.clip((p - 0.35) / 0.3, 0, 1)
        back = np.maximum(o, 0.5 * (1 - w) * inside)
    return p.reshape(h, h)


@pytest.mark.parametrize('rounds', [1, 2, 3])
def test_vote_and_walk_is_the_plain_recipe(rounds):
    for seed in range(2):
        tokens, boxes, crop_size = random_crops(seed, h=6)
        tokens += 2 * draw_box_masks(boxes, crop_size, 6)[:, None]  # an object to be found
        found = vote_and_walk(tokens, boxes, crop_size, rounds)
        for n in range(3):
            expected = slow_vote_and_walk(
                tokens[n].double().numpy(), boxes[n].double().numpy(), crop_size, rounds
            )
            np.testing.assert_allclose(found[n].numpy(), expected, atol=1e-4)


def test_an_object_unlike_its_surroundings_is_found_and_the_rest_of_its_box_is_not():
    # 6 x 6 tokens; the box holds the inner 4 x 4, the object is its left half
    box = torch.tensor([[1.0, 1, 5, 5]])
    tokens = torch.zeros(1, 2, 6, 6)
    tokens[:, 0] = 1
    tokens[:, :, 1:5, 1:4] = torch.tensor([0.0, 1]).view(1, 2, 1, 1)
    probs = vote_and_walk(tokens, box, 6)[0]
    assert probs[1:5, 1:4].min() > 0.9
    assert probs[1:5, 4].max() < 0.1


def test_seeds_and_probabilities_are_those_of_the_measured_prototype(load_reference):
    arrays = load_reference('instant')
    tokens, boxes = torch.from_numpy(arrays['tokens']), torch.from_numpy(arrays['crop_boxes'])
    crop_size = int(arrays['crop_size'])
    found = {
        'seeds': centre_seeds(boxes, crop_size, 24),
        'vote_walk_1': vote_and_walk(tokens, boxes, crop_size, rounds=1),
        'vote_walk_2': vote_and_walk(tokens, boxes, crop_size),
    }
    for name, values in found.items():
        np.testing.assert_allclose(values.numpy(), arrays[name], atol=1e-5, err_msg=name)


@settings(max_examples=30, deadline=None)
@given(seed=SEEDS, rounds=st.integers(1, 3))
def test_probabilities_lie_in_0_to_1_and_inside_the_box(seed, rounds):
    tokens, boxes, crop_size = random_crops(seed)
    probs = vote_and_walk(tokens, boxes, crop_size, rounds)
    assert (probs >= 0).all() and (probs <= 1).all()
    assert (probs[draw_box_masks(boxes, crop_size, 5) == 0] == 0).all()


def mirrored(boxes, crop_size):
    x0, y0, x1, y1 = boxes.unbind(1)
    return torch.stack([crop_size - x1, y0, crop_size - x0, y1], 1)


@settings(max_examples=30, deadline=None)
@given(seed=SEEDS)
def test_a_mirrored_crop_gives_the_mirrored_probabilities(seed):
    tokens, boxes, crop_size = random_crops(seed)
    probs = vote_and_walk(tokens, boxes, crop_size)
    again = vote_and_walk(tokens.flip(-1), mirrored(boxes, crop_size), crop_size)
    torch.testing.assert_close(again.flip(-1), probs, atol=1e-4, rtol=0)


@settings(max_examples=30, deadline=None)
@given(seed=SEEDS, order=st.permutations(range(3)))
def test_crops_do_not_see_each_other(seed, order):
    tokens, boxes, crop_size = random_crops(seed)
    probs = vote_and_walk(tokens, boxes, crop_size)
    again = vote_and_walk(tokens[order], boxes[order], crop_size)
    torch.testing.assert_close(again, probs[order], atol=1e-5, rtol=0)
    alone = vote_and_walk(tokens[:1], boxes[:1], crop_size)
    torch.testing.assert_close(alone, probs[:1], atol=1e-5, rtol=0)


# -- a trained network's logits -------------------------------------------------------------------


def test_logits_move_by_what_the_walk_changes():
    # columns are alike, the two of them opposite; one cell for a token
    tokens = torch.tensor([[[1.0, -1], [1, -1]]]).view(1, 1, 2, 2)
    logits = torch.tensor([[[2.0, -1], [-1, -2]]])
    box = torch.tensor([[0.0, 0, 8, 8]])
    found = walk_logits(logits, tokens, box, 8)
    p = logits.sigmoid()[0]
    like, unlike = math.e**10, 2 * math.e**-10
    expected = p.clone()
    for _ in range(10):
        others = expected.sum() - expected.sum(0, keepdim=True)  # of the other column
        neighbours = (like * expected.flip(0) + math.e**-10 * others) / (like + unlike)
        expected = 0.2 * p + 0.8 * neighbours
    halfway = (logits[0] + expected.logit()) / 2
    torch.testing.assert_close(found[0], halfway, atol=1e-4, rtol=0)
    # in the first column 0.88 and 0.27 have come closer to each other
    assert found[0, 0, 0] < logits[0, 0, 0] and found[0, 1, 0] > logits[0, 1, 0]


def test_equal_logits_stay_and_so_does_what_lies_outside_the_box():
    tokens = random_crops(0)[0]
    flat = torch.full((3, 20, 20), 0.7)
    whole = torch.tensor([[0.0, 0, 60, 60]]).repeat(3, 1)
    torch.testing.assert_close(walk_logits(flat, tokens, whole, 60), flat, atol=1e-5, rtol=0)
    logits = torch.randn(3, 20, 20, generator=torch.Generator().manual_seed(0))
    left = torch.tensor([[0.0, 0, 24, 60]]).repeat(3, 1)  # two of five columns of tokens
    moved = walk_logits(logits, tokens, left, 60) - logits
    assert moved[:, :, :8].abs().max() > 0.1
    # bilinear: the change of the last column inside reaches half a token beyond
    assert moved[:, :, 10:].abs().max() == 0


@settings(max_examples=20, deadline=None)
@given(seed=SEEDS)
def test_mirrored_logits_walk_alike(seed):
    tokens, boxes, crop_size = random_crops(seed)
    logits = torch.randn(3, 20, 20, generator=torch.Generator().manual_seed(seed))
    found = walk_logits(logits, tokens, boxes, crop_size)
    again = walk_logits(logits.flip(-1), tokens.flip(-1), mirrored(boxes, crop_size), crop_size)
    torch.testing.assert_close(again.flip(-1), found, atol=1e-3, rtol=0)


def test_maps_of_any_size_are_walked():
    tokens, boxes, crop_size = random_crops(0)
    assert walk_logits(torch.zeros(3, 13, 13), tokens, boxes, crop_size).shape == (3, 13, 13)
