import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mal_mm.geometry import box_from_crop
from mal_mm.labeling import mask_quality
from mal_mm.labeling.quality import colour_separation, decidedness, tightness, to_grid
from mal_mm_runtime.windows import boxes_on_maps

S = 16
BOX = torch.tensor([[4.0, 4, 12, 12]])


def square(x0=4, y0=4, x1=12, y1=12, prob=1.0):
    probs = torch.zeros(1, S, S)
    probs[:, y0:y1, x0:x1] = prob
    return probs


def two_colours(mask, inside=(1.0, 0, 0), outside=(0.0, 0, 0)):
    """(1, 3, S, S) picture of one colour where the mask is, of another elsewhere."""
    inside, outside = (torch.tensor(colour).view(1, 3, 1, 1) for colour in (inside, outside))
    return torch.where(mask[:, None] > 0, inside, outside)


def quality(probs, images=None, boxes=BOX, threshold=0.5):
    images = two_colours(square()) if images is None else images
    return mask_quality(probs, images, boxes, threshold)


def random_batch(seed, sharpness=3.0, count=3, size=16):
    generator = torch.Generator().manual_seed(seed)
    probs = (sharpness * torch.randn(count, size, size, generator=generator)).sigmoid()
    probs[:, :2] = 0
    images = torch.randn(count, 3, 2 * size, 2 * size, generator=generator)
    boxes = size * torch.rand(count, 4, generator=generator).sort(dim=1).values
    return probs, images, boxes


def slow_quality(probs, image, box, threshold):
    """The definition for one mask whose map is the grid, cell by cell, in double precision."""
    s, step = len(probs), image.shape[1] / len(probs)
    mask = [(r, c) for r in range(s) for c in range(s) if probs[r, c] > threshold]
    if not mask:
        return 0.0
    # colours, on the mask and the ring around it
    radius = max(round(3 / 64 * s), 1)
    region = [
        (r, c)
        for r in range(s)
        for c in range(s)
        if any(abs(r - i) <= radius and abs(c - j) <= radius for i, j in mask)
    ]
    colours = np.array([image[:, int((r + 0.5) * step), int((c + 0.5) * step)] for r, c in region])
    labels = np.array([cell in set(mask) for cell in region], dtype=float)
    colours, centred = colours - colours.mean(0), labels - labels.mean()
    weights = np.linalg.solve(
        colours.T @ colours / len(region) + 1e-3 * np.eye(3), colours.T @ centred / len(region)
    )
    explained = weights @ colours.T @ centred / len(region)
    separation = np.sqrt(explained / labels.var()) if labels.var() else 0.0
    # the box around the mask and the box
    rows, columns = zip(*mask, strict=True)
    around = min(columns), min(rows), max(columns) + 1, max(rows) + 1
    width = max(min(around[2], box[2]) - max(around[0], box[0]), 0)
    height = max(min(around[3], box[3]) - max(around[1], box[1]), 0)
    areas = [(b[2] - b[0]) * (b[3] - b[1]) for b in (around, box)]
    tight = width * height / (sum(areas) - width * height)
    # doubt
    common = union = 0.0
    for r in range(s):
        for c in range(s):
            p = probs[r, c]
            belief = p * (1 - threshold) / (p * (1 - threshold) + (1 - p) * threshold)
            common += belief if (r, c) in mask else 0
            union += 1 if (r, c) in mask else belief
    return np.sqrt(separation) * tight * common / union


def test_a_sure_mask_of_a_colour_of_its_own_that_fits_its_box_is_perfect():
    assert quality(square()).item() == pytest.approx(1, abs=5e-3)  # colour noise is allowed for


@pytest.mark.parametrize('threshold', [0.0, 0.1, 0.5])
def test_an_empty_mask_is_worth_nothing(threshold):
    assert quality(square(prob=threshold), threshold=threshold).item() == 0
    assert quality(square(prob=threshold), boxes=torch.zeros(1, 4)).item() == 0


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), threshold=st.sampled_from([0.1, 0.5, 0.8]))
def test_the_quality_is_that_of_the_plain_definition(seed, threshold):
    probs, images, boxes = random_batch(seed)
    expected = [
        slow_quality(p.double().numpy(), i.double().numpy(), b.tolist(), threshold)
        for p, i, b in zip(probs, images, boxes, strict=True)
    ]
    found = mask_quality(probs, images, boxes, threshold)
    np.testing.assert_allclose(found.numpy(), expected, atol=2e-4)


@settings(max_examples=50, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    sharpness=st.sampled_from([0.1, 1, 30]),
    threshold=st.sampled_from([0.0, 0.1, 0.5, 0.99]),
)
def test_the_quality_of_anything_lies_between_0_and_1(seed, sharpness, threshold):
    qualities = mask_quality(*random_batch(seed, sharpness), threshold)
    assert qualities.shape == (3,)
    assert ((qualities >= 0) & (qualities <= 1)).all()


def test_a_mask_is_judged_alike_in_any_company():
    probs, images, boxes = random_batch(0, count=7)
    together = mask_quality(probs, images, boxes, 0.5)
    alone = [
        mask_quality(probs[n : n + 1], images[n : n + 1], boxes[n : n + 1], 0.5) for n in range(7)
    ]
    torch.testing.assert_close(together, torch.cat(alone), atol=1e-5, rtol=0)


def test_each_mask_may_have_its_own_threshold():
    probs, images, boxes = random_batch(0)
    thresholds = torch.tensor([0.1, 0.5, 0.9])
    expected = [
        mask_quality(probs[n : n + 1], images[n : n + 1], boxes[n : n + 1], thresholds[n].item())
        for n in range(3)
    ]
    found = mask_quality(probs, images, boxes, thresholds)
    torch.testing.assert_close(found, torch.cat(expected), atol=1e-5, rtol=0)


def test_no_masks_have_no_qualities():
    assert mask_quality(*random_batch(0, count=0), 0.5).shape == (0,)


@pytest.mark.parametrize('side', ['left', 'top', 'right', 'bottom'])
def test_the_further_a_mask_stays_from_a_side_the_lower_its_quality(side):
    image = torch.randn(1, 3, S, S, generator=torch.Generator().manual_seed(0))
    masks = [
        dict(
            left=square(x0=4 + gap),
            top=square(y0=4 + gap),
            right=square(x1=12 - gap),
            bottom=square(y1=12 - gap),
        )[side]
        for gap in range(5)
    ]
    tight = [tightness(mask, BOX, 0.5).item() for mask in masks]
    assert tight == pytest.approx([1, 7 / 8, 6 / 8, 5 / 8, 4 / 8])
    for mask, expected in zip(masks, tight, strict=True):
        # a sure mask: root of separation x tightness
        separation = colour_separation(mask > 0.5, image).item()
        assert quality(mask, image).item() == pytest.approx(separation**0.5 * expected)
    # on its own colours, so that only the side tells
    assert quality(masks[2], two_colours(masks[2])) < 0.8 * quality(masks[0])


def test_a_mask_beyond_its_box_is_not_tight_either():
    # 64 cells of the box in the 80 of the mask
    assert tightness(square(x1=14), BOX, 0.5).item() == pytest.approx(64 / 80)
    assert tightness(torch.eye(S)[None], torch.tensor([[0.0, 0, S, S]]), 0.5).item() == 1


def test_a_colour_that_is_half_in_and_half_out_separates_worse():
    image = two_colours(square())
    grown = [colour_separation(square(x1=12 + n) > 0.5, image).item() for n in range(4)]
    shrunk = [colour_separation(square(x1=12 - n) > 0.5, image).item() for n in range(4)]
    for values in (grown, shrunk):
        assert values[0] > 0.99
        assert values == sorted(values, reverse=True)


def test_separation_is_the_correlation_with_the_best_colour():
    # two channels are noise, the third follows the mask but for some of its cells
    generator = torch.Generator().manual_seed(1)
    mask = square() > 0.5
    image = torch.randn(1, 3, S, S, generator=generator)
    image[:, 2] = mask + 0.5 * image[:, 2]
    region = square(3, 3, 13, 13) > 0.5
    alone = np.corrcoef(image[0, 2][region[0]], mask[0][region[0]])[0, 1]
    assert alone <= colour_separation(mask, image).item() <= 1.1 * alone
    # a weighted sum of channels may tell what none of them tells alone
    image[:, 0] += 9 * image[:, 1]
    image[:, 2] = mask + image[:, 1]
    assert colour_separation(mask, image).item() > 0.95


def test_a_picture_of_one_colour_separates_nothing():
    assert colour_separation(square() > 0.5, torch.ones(1, 3, S, S)).item() == 0
    # nor does a mask without a ring
    noise = torch.randn(1, 3, S, S, generator=torch.Generator().manual_seed(0))
    assert colour_separation(torch.ones(1, S, S) > 0.5, noise).item() < 1e-3


def test_separation_holds_on_dull_pictures_and_on_grey_ones():
    mask = square() > 0.5
    dull = 2 + two_colours(square(), inside=(0.3, 0.3, 0.3))  # a tenth of the usual contrast
    assert colour_separation(mask, dull).item() > 0.95


def test_large_maps_and_pictures_are_compared_on_a_coarse_grid():
    probs = torch.zeros(1, 128, 128)
    probs[:, 32:96, 32:96] = 1
    image = torch.zeros(1, 3, 512, 512)
    image[:, :, 128:384, 128:384] = 1
    assert quality(probs, image, BOX * 8).item() == pytest.approx(1, abs=5e-3)


def test_doubt_is_the_soft_iou_counted_from_the_threshold():
    # common 64 * 0.8, union 64
    assert decidedness(square(prob=0.8), 0.5).item() == pytest.approx(0.8)
    half = square(prob=0.25) + square(6, 6, 10, 10, prob=0.5)
    # common 16 * 0.75 = 12, union 16 + 48 * 0.25
    assert decidedness(half, 0.5).item() == pytest.approx(12 / 28)
    # odds 4 : 1 with the threshold's 1 : 4 make 16 : 1
    assert decidedness(square(prob=0.8), 0.2).item() == pytest.approx(16 / 17)
    assert quality(square(prob=0.8)).item() == pytest.approx(0.8, abs=5e-3)


def test_more_doubt_means_less_quality():
    qualities = [quality(square(prob=p)).item() for p in (0.55, 0.7, 0.9, 1)]
    assert qualities == sorted(qualities)


def test_the_mask_is_cut_where_the_threshold_says():
    probs = square(prob=0.3)
    assert quality(probs).item() == 0
    assert quality(probs, threshold=0.1).item() > 0.7


def test_boxes_lie_on_maps_where_geometry_says_they_come_from():
    boxes = np.array([[10.5, 20, 30.25, 60], [-5, 50, 20, 200]])
    windows = np.array([[7, 14, 35, 68], [-4, 40, 25, 110]])
    image_hws = [(100, 120), (90, 80)]
    on_maps = boxes_on_maps(boxes, windows, image_hws, 64)
    assert on_maps.dtype == np.float32
    clipped = [boxes[0], [0, 50, 20, 90]]
    for on_map, window, expected in zip(on_maps, windows, clipped, strict=True):
        np.testing.assert_allclose(box_from_crop(on_map, window, 64), expected, atol=1e-4)


@pytest.mark.parametrize(('size', 'length'), [(16, 48), (16, 40), (100, 200), (168, 224), (7, 3)])
def test_the_cells_that_are_looked_at_say_what_the_whole_crops_say(size, length):
    generator = torch.Generator().manual_seed(0)
    probs, _, boxes = random_batch(1, size=size)
    images = torch.randn(3, 3, length, length, generator=generator)
    picked = to_grid(images, size)
    side = min(size, 64)
    middles = ((np.arange(side) + 0.5) * length / side).astype(int)
    np.testing.assert_array_equal(picked, images.numpy()[:, :, middles[:, None], middles])
    arguments = boxes, 0.5
    torch.testing.assert_close(
        mask_quality(probs, picked, *arguments), mask_quality(probs, images, *arguments)
    )


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a GPU')
def test_the_quality_on_a_gpu_is_that_on_a_cpu():
    batch = random_batch(3)
    there = mask_quality(*(tensor.cuda() for tensor in batch), 0.5)
    torch.testing.assert_close(there.cpu(), mask_quality(*batch, 0.5), atol=1e-4, rtol=0)
