"""How good a pseudo-mask is, from what is at hand when it is drawn.

N masks, s x s cells of the network's maps, S x S pixels of the crops, g x g cells (g <= 64) on
which colours are compared. docs/quality.md says what was tried and how well it works.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from mal_mm_runtime.quality import GRID, NOISE, RING

from ..instant import DrawnCrops
from ..instant.box_threshold import extent_iou


def mask_quality(
    probs: Tensor, images: Tensor, boxes: Tensor, threshold: float | Tensor
) -> Tensor:
    """Estimate each mask's quality: root of separation x tightness x decidedness.

    It orders masks by how well they fit; it is no estimate of the IoU's value.

    Args:
        probs: (N, s, s) mask probabilities on the network's map, zero outside the box.
        images: (N, 3, S, S) normalised crops, or what `to_grid` picks of them for these maps.
        boxes: (N, 4) `(x0, y0, x1, y1)` in cells of the map, unrounded, see `boxes_on_maps`.
        threshold: in [0, 1), a cell belongs to the mask above this probability; one for all, or
            (N,).

    Returns:
        (N,) in [0, 1]; 0 for an empty mask.
    """
    on_grid = to_grid(probs, probs.shape[-1])
    separation = colour_separation(on_grid > _for_maps(threshold, probs), images)
    # exponents from benchmarks/fit_quality.py
    return separation.sqrt() * tightness(probs, boxes, threshold) * decidedness(on_grid, threshold)


def instant_quality(qualities: Tensor, drawn: DrawnCrops) -> Tensor:
    """Estimate the quality of masks that went through the colour stages.

    Args:
        qualities: (N,) what `mask_quality` says of the final masks.
        drawn: probabilities before and after the stages.

    Returns:
        (N,) in [0, 1].
    """
    before, after = drawn.before > 0.5, drawn.probs > 0.5
    agreement = (before & after).sum((1, 2)) / (before | after).sum((1, 2)).clamp(min=1)
    return qualities * agreement


def colour_separation(masks: Tensor, images: Tensor) -> Tensor:
    """How well colours tell a mask from the ring around it.

    The multiple correlation coefficient of mask and colours over both: the best correlation with
    the mask that any weighted sum of the colour channels reaches. Where a mask runs over the
    object's edge or stops short of it, one of the two sides is of mixed colours.

    Args:
        masks: (N, g, g) bool.
        images: (N, C, S, S) normalised crops.

    Returns:
        (N,) in [0, 1]; 0 for an empty mask and where all is of one colour.
    """
    N, g, _ = masks.shape
    colours = to_grid(images, g).flatten(2)
    # rows: three colours, the region, the mask; their products are all the sums there are
    rows = torch.empty((N, 5, g * g), dtype=colours.dtype, device=colours.device)
    rows[:, 3] = _dilate(masks, max(round(RING * g), 1)).flatten(1)
    rows[:, 4] = masks.flatten(1)
    region = rows[:, 3:4]

    size = region.sum(2).clamp_(min=1)
    share = rows[:, 4].sum(1, keepdim=True) / size
    mean = (colours @ region.mT)[:, :, 0] / size
    # centred before it is squared: float32 would lose the small variance of a dull picture
    torch.sub(colours, mean[:, :, None], out=rows[:, :3])
    rows[:, :3] *= region
    products = rows[:, :3] @ rows.mT / size[:, :, None]
    covariance, with_mask = products[:, :, :3], products[:, :, 4]
    covariance.diagonal(dim1=1, dim2=2).add_(NOISE)
    explained = (with_mask * torch.linalg.solve(covariance, with_mask)).sum(1)
    variance = (share * (1 - share))[:, 0]
    return (explained / variance.clamp(min=1e-6)).clamp_(0, 1).sqrt_()


def tightness(probs: Tensor, boxes: Tensor, threshold: float | Tensor) -> Tensor:
    """IoU of the box and the smallest box around the mask: 1 when all four sides agree.

    Args:
        probs, boxes, threshold: see `mask_quality`.

    Returns:
        (N,) in [0, 1]; 0 for an empty mask.
    """
    threshold = _for_maps(threshold, probs)[:, 0]
    return extent_iou(probs.amax(1) > threshold, probs.amax(2) > threshold, boxes)


def decidedness(probs: Tensor, threshold: float | Tensor) -> Tensor:
    """Soft IoU of the probabilities with their own mask: 1 when every cell is surely in or out.

    The odds are counted from the threshold, so that a cell on it is as undecided as can be.

    Args:
        probs: (N, g, g) in [0, 1].
        threshold: see `mask_quality`.

    Returns:
        (N,) in [0, 1]; 0 for an empty mask.
    """
    threshold = _for_maps(threshold, probs)
    inward = probs * (1 - threshold)
    outward = (1 - probs) * threshold
    belief = inward / (inward + outward).clamp_(min=1e-12)
    masks = (probs > threshold).to(probs.dtype)
    common = (belief * masks).sum((1, 2))
    union = belief.sum((1, 2)) + masks.sum((1, 2)) - common
    return (common / union.clamp(min=1e-6)).clamp_(0, 1)


def _for_maps(threshold: float | Tensor, maps: Tensor) -> Tensor:
    """(1 or N, 1, 1), to compare (N, s, s) with."""
    return torch.as_tensor(threshold, dtype=maps.dtype, device=maps.device).view(-1, 1, 1)


def to_grid(maps: Tensor, map_size: int) -> Tensor:
    """The values at the middles of the cells that colours are compared on.

    Averages over the cells cost more than all the rest and order the masks no better.

    Args:
        maps: (..., S, S) of any type.
        map_size: side s of the network's maps.

    Returns:
        (..., g, g) with g = min(s, GRID); no copy where S is g or a multiple.
    """
    size = min(map_size, GRID)
    length = maps.shape[-1]
    if length % size == 0:
        step = length // size
        return maps[..., step // 2 :: step, step // 2 :: step]
    places = torch.arange(size, device=maps.device, dtype=torch.float64) + 0.5
    places = (places * (length / size)).long()
    # by hand: F.interpolate takes thirty times as long
    return maps[..., places[:, None], places]


def _dilate(masks: Tensor, radius: int) -> Tensor:
    """(N, g, g) bool, grown by `radius` cells to every side, corners included."""
    for dim, sides in ((2, (radius, radius)), (1, (0, 0, radius, radius))):
        masks = F.pad(masks, sides)
        width = 1  # cells that each has seen
        while width <= 2 * radius:
            step = min(width, 2 * radius + 1 - width)
            rest = masks.shape[dim] - step
            masks = masks.narrow(dim, 0, rest) | masks.narrow(dim, step, rest)
            width += step
    return masks
