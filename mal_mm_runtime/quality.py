"""How good a mask is, from what is at hand when it is drawn.

`mal_mm.labeling.quality` is the same with torch and explains what is measured; docs/quality.md
says how well it works.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .box_threshold import extent_iou
from .stages import DrawnCrops

GRID = 64
# ring of pixels around the mask that it is compared with: 3 of 64 cells, a 17th of the box's side
RING = 3 / 64
# variance of colours that counts as noise: 0.03 standard deviations of ImageNet, 2 grey levels
NOISE = 1e-3


def mask_quality(
    probs: np.ndarray,
    crops: Sequence[np.ndarray],
    mean_std: tuple[Sequence[float], Sequence[float]],
    boxes: np.ndarray,
    thresholds: np.ndarray,
) -> np.ndarray:
    """Root of separation x tightness x decidedness.

    Args:
        probs: (N, s, s) mask probabilities on the network's map, zero outside the box.
        crops: N crops (S, S, 3) uint8 RGB.
        mean_std: what colours are normalised by, per channel.
        boxes: (N, 4) `(x0, y0, x1, y1)` in cells of the map, unrounded.
        thresholds: (N,) in [0, 1), a cell belongs to the mask above it.

    Returns:
        (N,) in [0, 1]; 0 for an empty mask.
    """
    t = thresholds.astype(np.float32)[:, None, None]
    g = min(probs.shape[-1], GRID)
    on_grid = probs[(slice(None), *_middles(probs.shape[-1], g))]
    mean, std = (np.array(each, dtype=np.float32) for each in mean_std)
    colours = np.stack([(crop[_middles(len(crop), g)] - mean) / std for crop in crops])
    separations = [_separation(*each) for each in zip(on_grid > t, colours, strict=True)]
    tight = extent_iou(probs.max(1) > t[:, 0], probs.max(2) > t[:, 0], boxes)
    return np.sqrt(separations) * tight * _decidedness(on_grid, t)


def instant_quality(qualities: np.ndarray, drawn: DrawnCrops) -> np.ndarray:
    """(N,) qualities, times how far the masks before and after the colour stages agree."""
    before, after = drawn.before > 0.5, drawn.probs > 0.5
    common, union = (before & after).sum((1, 2)), (before | after).sum((1, 2))
    return qualities * common / union.clip(min=1)


def _separation(mask: np.ndarray, colours: np.ndarray) -> float:
    """Multiple correlation of a (g, g) mask with the (g, g, 3) colours around it."""
    inside = mask.ravel().astype(np.float64)
    region = _dilate(mask, max(round(RING * len(mask)), 1)).ravel()
    size = max(int(region.sum()), 1)
    share = inside.sum() / size
    colours = colours.reshape(-1, 3).astype(np.float64)
    colours = (colours - colours[region].sum(0) / size) * region[:, None]
    covariance = colours.T @ colours / size + NOISE * np.eye(3)
    with_mask = colours.T @ inside / size
    explained = with_mask @ np.linalg.solve(covariance, with_mask)
    return min(max(explained / max(share * (1 - share), 1e-6), 0.0), 1.0) ** 0.5


def _decidedness(probs: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    inward = probs * (1 - thresholds)
    outward = (1 - probs) * thresholds
    belief = inward / (inward + outward).clip(min=1e-12)
    masks = probs > thresholds
    common = (belief * masks).sum((1, 2))
    union = belief.sum((1, 2)) + masks.sum((1, 2)) - common
    return (common / union.clip(min=1e-6)).clip(0, 1)


def _middles(length: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Index of the value at the middle of each of size x size cells."""
    places = ((np.arange(size) + 0.5) * (length / size)).astype(np.int64)
    return places[:, None], places


def _dilate(mask: np.ndarray, radius: int) -> np.ndarray:
    places = np.arange(len(mask))
    near = (np.abs(places[:, None] - places) <= radius).astype(np.float32)
    return near @ mask.astype(np.float32) @ near > 0
