"""MeanField against the authors' labels, against the two-label form written out, and by hand."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from mal_mm.models.losses import MeanField
from mal_mm.models.losses.mean_field import pairwise_kernel


def two_label_mean_field(
    image: Tensor,
    probs: Tensor,
    box_masks: Tensor | None,
    kernel_size: int = 3,
    num_iters: int = 100,
    zeta: float = 0.1,
    omega: float = 1.0,
    epsilon: float = 1e-6,
) -> Tensor:
    """Messages of foreground and background apart, in double precision; as slow as it is plain."""
    image, probs = image.double(), probs.double()
    N, _, H, W = image.shape
    inside = torch.ones(N, H, W) if box_masks is None else box_masks.double()
    foreground = (probs * inside).clamp(0.1, 0.9)
    reach = range(-(kernel_size // 2), kernel_size // 2 + 1)
    for _ in range(num_iters):
        log_a, log_c = torch.zeros(2, N, H, W, dtype=torch.double)
        for y in range(H):
            for x in range(W):
                for dy in reach:
                    for dx in reach:
                        v, u = y + dy, x + dx
                        if not (0 <= v < H and 0 <= u < W):
                            continue
                        distance = (image[:, :, y, x] - image[:, :, v, u]).square().sum(1)
                        weight = omega * torch.exp(-distance / (2 * zeta**2))
                        if dy == dx == 0:
                            weight = torch.ones(N, dtype=torch.double)
                        log_a[:, y, x] += weight * foreground[:, v, u].log()
                        log_c[:, y, x] += weight * (1 - foreground[:, v, u]).log()
        a, c = log_a.exp(), log_c.exp()
        foreground = (a / (a + c + epsilon) * inside).clamp(0.1, 0.9)
    return (foreground > 0.5).to(torch.uint8)


def random_case(seed: int, N: int = 2, H: int = 7, W: int = 9, contrast: float = 0.3):
    generator = torch.Generator().manual_seed(seed)
    image = contrast * torch.rand(N, 3, H, W, generator=generator)
    probs = torch.rand(N, H, W, generator=generator)
    box_masks = torch.zeros(N, H, W)
    box_masks[:, 1 : H - 1, 2 : W - 1] = 1
    return image, probs, box_masks


def flushes_denormals() -> bool:
    return (torch.tensor(1e-30) * 1e-10).item() == 0


@pytest.mark.parametrize('case', range(4))
@pytest.mark.parametrize('kind', ['free', 'boxed'])
def test_labels_are_the_released_ones(load_reference, case, kind):
    arrays = load_reference('mean_field')
    image, prob, box_mask, zeta, expected = (
        torch.from_numpy(arrays[f'case{case}_{name}']).float()
        for name in ('image', 'prob', 'box_mask', 'zeta', f'{kind}_label')
    )
    labels = MeanField(zeta=float(zeta))(image, prob, box_mask if kind == 'boxed' else None)
    assert labels.dtype == torch.uint8
    differing = (labels != expected).float().mean().item()
    # at a wide bandwidth the 1e-6 in the released denominator shows
    assert differing <= (0 if float(zeta) < 0.2 else 0.003)


def test_reference_vectors_hold_both_bandwidths(load_reference):
    arrays = load_reference('mean_field')
    zetas = {round(float(arrays[f'case{case}_zeta']), 3) for case in range(4)}
    assert zetas == {0.1, 0.5}


@pytest.mark.parametrize(
    'settings_',
    [
        {'zeta': 0.1, 'num_iters': 6},
        {'zeta': 0.5, 'num_iters': 6},
        {'zeta': 0.2, 'num_iters': 3, 'omega': 2.0},
        {'zeta': 0.2, 'num_iters': 2, 'kernel_size': 5},
    ],
)
@pytest.mark.parametrize('boxed', [True, False])
def test_one_channel_equals_the_two_label_form(settings_, boxed):
    image, probs, box_masks = random_case(seed=3)
    masks = box_masks if boxed else None
    expected = two_label_mean_field(image, probs, masks, epsilon=0, **settings_)
    assert torch.equal(MeanField(**settings_)(image, probs, masks), expected)


def algorithm_1(scores: Tensor, image: Tensor, phi, threshold: float, num_iters: int) -> Tensor:
    """Alg. 1 of the supplement, line by line, on one crop; K of Eq. 4 with zeta 0.5, omega 2."""
    H, W = scores.shape
    label = scores.double()
    for _ in range(num_iters):
        following = label.clone()
        for y in range(H):
            for x in range(W):
                for v in range(max(y - 1, 0), min(y + 2, H)):
                    for u in range(max(x - 1, 0), min(x + 2, W)):
                        if (v, u) != (y, x):
                            square = (image[:, y, x] - image[:, v, u]).double().square().sum()
                            following[y, x] += 2 * torch.exp(-square / 0.5) * label[v, u]
        label = phi(following)
    return (label > threshold).to(torch.uint8)


def test_algorithm_1_read_in_log_odds_is_what_runs_and_with_probabilities_it_only_adds():
    image, probs, _ = random_case(seed=2, N=1, contrast=1.5)
    limit = math.log(9)
    log_odds = probs[0].clamp(0.1, 0.9).logit()
    expected = algorithm_1(log_odds, image[0], lambda z: z.clamp(-limit, limit), 0.0, 5)
    labels = MeanField(num_iters=5, zeta=0.5, omega=2.0)(image, probs)[0]
    assert torch.equal(labels, expected)
    assert 0 < labels.float().mean() < 1
    added = algorithm_1(probs[0], image[0], lambda q: q.clamp(0.1, 0.9), 0.5, 5)
    assert added.all()


def test_narrow_bandwidth_equals_the_released_two_label_form_with_its_epsilon():
    image, probs, box_masks = random_case(seed=5, contrast=1.0)
    expected = two_label_mean_field(image, probs, box_masks, num_iters=8)
    assert torch.equal(MeanField(num_iters=8)(image, probs, box_masks), expected)


def test_equal_colours_pull_a_neighbour_over_and_different_ones_do_not():
    probs = torch.tensor([[[0.8, 0.3]]])  # log-odds 1.386 and -0.847: together positive
    same = torch.zeros(1, 3, 1, 2)
    apart = same.clone()
    apart[..., 1] = 5.0
    once = MeanField(num_iters=1)
    assert once(same, probs).tolist() == [[[1, 1]]]
    assert once(apart, probs).tolist() == [[[1, 0]]]


def test_pairwise_weight_is_a_gaussian_of_the_colour_distance():
    image = torch.tensor([[[[0.0, 0.3, 0.3]]]])
    weight = pairwise_kernel(image, (0, 1), zeta=0.1, omega=2.0)
    # exp(-0.09 / 0.02) = 0.011109; equal colours weigh omega; the last pixel has no neighbour
    torch.testing.assert_close(weight, torch.tensor([[[2 * 0.0111090, 2.0, 0.0]]]))


def test_pairwise_weight_of_a_neighbour_above_left():
    image = torch.arange(4.0).reshape(1, 1, 2, 2)
    weight = pairwise_kernel(image, (-1, -1), zeta=3.0, omega=1.0)
    # only the last pixel (3) has one, the first (0): exp(-9 / 18)
    torch.testing.assert_close(weight, torch.tensor([[[0.0, 0.0], [0.0, math.exp(-0.5)]]]))


def test_without_iterations_the_probabilities_are_cut_at_one_half():
    image, probs, box_masks = random_case(seed=0)
    probs[0, 3, 3] = 0.5  # not above
    none = MeanField(num_iters=0)
    assert torch.equal(none(image, probs), (probs > 0.5).to(torch.uint8))
    assert torch.equal(none(image, probs, box_masks), ((probs > 0.5) & (box_masks > 0)).byte())


@pytest.mark.parametrize('num_iters', [0, 1, 50])
def test_outside_the_box_is_background_however_probable(num_iters):
    image, _, box_masks = random_case(seed=1, contrast=20)
    labels = MeanField(num_iters=num_iters)(image, torch.ones_like(box_masks), box_masks)
    assert torch.equal(labels, box_masks.byte())


def test_forced_background_eats_into_a_box_of_one_colour():
    box_masks = torch.zeros(1, 9, 9)
    box_masks[:, 2:7, 2:7] = 1
    labels = MeanField(num_iters=1)(torch.zeros(1, 3, 9, 9), box_masks, box_masks)
    # a corner has 4 foreground votes (its own among them) and 5 of the background, an edge 6 and 3
    assert not labels[0, [2, 2, 6, 6], [2, 6, 2, 6]].any()
    assert labels.sum() == 25 - 4


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_precision_input_is_computed_in_float32(dtype):
    image, probs, box_masks = (part.to(dtype) for part in random_case(seed=2))
    expected = MeanField()(image.float(), probs.float(), box_masks.float())
    assert torch.equal(MeanField()(image, probs, box_masks), expected)
    with torch.autocast('cpu', torch.bfloat16):
        assert torch.equal(MeanField()(image, probs, box_masks), expected)


def test_integer_box_masks_are_understood():
    image, probs, box_masks = random_case(seed=2)
    labels = MeanField()(image, probs, box_masks.to(torch.uint8))
    assert torch.equal(labels, MeanField()(image, probs, box_masks))


def test_crops_of_a_batch_do_not_touch_each_other():
    image, probs, box_masks = random_case(seed=4, N=4, contrast=0.05)
    together = MeanField()(image, probs, box_masks)
    for n in range(4):
        alone = MeanField()(image[n : n + 1], probs[n : n + 1], box_masks[n : n + 1])
        assert torch.equal(together[n : n + 1], alone)


def test_batch_too_large_for_the_cache_is_the_same_as_its_crops_alone():
    image, probs, box_masks = random_case(seed=4, N=6, H=128, W=128, contrast=0.05)
    field = MeanField(num_iters=3)
    alone = [field(image[n : n + 1], probs[n : n + 1], box_masks[n : n + 1]) for n in range(6)]
    assert torch.equal(field(image, probs, box_masks), torch.cat(alone))


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a GPU')
@pytest.mark.parametrize('fused', [False, True])
@pytest.mark.parametrize('zeta', [0.1, 0.5])
def test_labels_of_a_gpu_are_those_of_a_cpu(zeta, fused):
    case = random_case(seed=5, N=8, H=128, W=96, contrast=0.05)
    field = MeanField(zeta=zeta, fused=fused)
    there = field(*(tensor.cuda() for tensor in case)).cpu()
    # sums of nine in another order: a pixel at the threshold may fall on the other side
    assert (there == MeanField(zeta=zeta)(*case)).double().mean() > 0.9999
    assert field.fused == fused, 'the kernel did not compile'


def test_the_fused_kernel_is_for_gpus_alone():
    case = random_case(seed=5)
    assert torch.equal(MeanField(fused=True)(*case), MeanField()(*case))


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([1, 2]))
def test_mirrored_input_gives_mirrored_labels(seed, axis):
    image, probs, box_masks = random_case(seed, contrast=0.3)
    field = MeanField(num_iters=10)
    mirrored = field(image.flip(axis + 1), probs.flip(axis), box_masks.flip(axis))
    assert torch.equal(mirrored.flip(axis), field(image, probs, box_masks))


def test_empty_batch_gives_no_labels():
    assert MeanField()(torch.zeros(0, 3, 8, 8), torch.zeros(0, 8, 8)).shape == (0, 8, 8)


@pytest.mark.skipif(not torch.set_flush_denormal(False), reason='the CPU cannot flush denormals')
@pytest.mark.parametrize('before', [True, False])
def test_the_callers_denormal_mode_is_kept(before):
    image, probs, box_masks = random_case(seed=0)
    torch.set_flush_denormal(before)
    try:
        MeanField(num_iters=2)(image, probs, box_masks)
        assert flushes_denormals() == before
        with pytest.raises(RuntimeError):  # on the way out of an error as well
            MeanField(num_iters=2)(image, probs, box_masks.to('meta'))
        assert flushes_denormals() == before
    finally:
        torch.set_flush_denormal(False)


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        ({'kernel_size': 4}, '`kernel_size` must be odd and at least 3, got 4; use 3 or 5'),
        ({'kernel_size': 1}, '`kernel_size` must be odd and at least 3, got 1'),
        ({'num_iters': -1}, '`num_iters` must be >= 0, got -1'),
        ({'zeta': 0}, '`zeta` must be > 0, got 0'),
        ({'clamp': (0.1, 0.8)}, r'`clamp` must be \(c, 1 - c\) .* got \(0.1, 0.8\)'),
        ({'clamp': (0.0, 1.0)}, r'`clamp` must be \(c, 1 - c\)'),
    ],
)
def test_arguments_out_of_range_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        MeanField(**arguments)


def test_shapes_that_do_not_fit_are_refused():
    image, probs, box_masks = random_case(seed=0)
    with pytest.raises(ValueError, match=r'`probs` must be \(2, 7, 9\) like `image`'):
        MeanField()(image, probs[:, :-1])
    with pytest.raises(ValueError, match=r'`box_masks` must be \(2, 7, 9\) like `image`'):
        MeanField()(image, probs, box_masks[:1])
