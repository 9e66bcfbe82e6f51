"""Where to cut probabilities, so that the mask fits its box.

N maps of s x s cells. `mal_mm.instant.box_threshold` is the same with torch.
"""

from __future__ import annotations

import numpy as np

from .maps import logit, sigmoid

# what is tried, and how far from the best fit another one may be
CANDIDATES = tuple(round(0.1 + 0.05 * n, 2) for n in range(15))
TOLERANCE = 0.02
# probabilities are drawn apart by this much around the threshold
SHARPNESS = 2.0


def box_consistent_thresholds(probs: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """(N, s, s) probabilities, (N, 4) boxes in cells -> (N,) one of `CANDIDATES` each."""
    candidates = np.array(CANDIDATES, dtype=np.float32)
    columns, rows = probs.max(1), probs.max(2)
    fits = np.stack(
        [extent_iou(columns > threshold, rows > threshold, boxes) for threshold in candidates]
    )
    good = fits >= fits.max(0) - np.float32(TOLERANCE)
    distance = np.broadcast_to(np.abs(candidates - np.float32(0.5))[:, None], fits.shape)
    return candidates[np.where(good, distance, 1).argmin(0)]


def recentre(probs: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """(N, s, s), (N,) -> (N, s, s), above 0.5 where `probs` is above its threshold."""
    odds = logit(probs.clip(1e-6, 1 - 1e-6)) - logit(thresholds)[:, None, None]
    return sigmoid(np.float32(SHARPNESS) * odds)


def extent_iou(columns: np.ndarray, rows: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """(N, s) bool each, (N, 4) in cells -> (N,) IoU of box and the box around the mask."""
    x0, x1 = _extent(columns)
    y0, y1 = _extent(rows)
    width = np.minimum(x1, boxes[:, 2]) - np.maximum(x0, boxes[:, 0])
    height = np.minimum(y1, boxes[:, 3]) - np.maximum(y0, boxes[:, 1])
    common = width.clip(min=0) * height.clip(min=0)
    box_area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    union = (x1 - x0) * (y1 - y0) + box_area - common
    return (common / union.clip(min=1e-6)).clip(0, 1)


def _extent(occupied: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    s = occupied.shape[1]
    places = np.arange(s, dtype=np.float32)
    first = np.where(occupied, places, np.float32(s)).min(1)
    last = np.where(occupied, places + 1, np.float32(0)).max(1)
    return np.minimum(first, last), last
