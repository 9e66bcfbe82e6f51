"""Where to cut probabilities, so that the mask fits its box.

N maps of s x s cells.
"""

from __future__ import annotations

import torch
from torch import Tensor

from mal_mm_runtime.box_threshold import CANDIDATES, SHARPNESS, TOLERANCE


def box_consistent_thresholds(probs: Tensor, boxes: Tensor) -> Tensor:
    """The threshold nearest 0.5 of those whose masks fit their box as well as any.

    Args:
        probs: (N, s, s) in [0, 1].
        boxes: (N, 4) `(x0, y0, x1, y1)` in cells.

    Returns:
        (N,) one of `CANDIDATES` each.
    """
    candidates = torch.tensor(CANDIDATES, device=probs.device)
    columns, rows = probs.amax(1), probs.amax(2)  # all that the extent depends on
    fits = torch.stack(
        [extent_iou(columns > threshold, rows > threshold, boxes) for threshold in CANDIDATES]
    )
    good = fits >= fits.amax(0) - TOLERANCE
    distance = (candidates - 0.5).abs()[:, None].expand_as(fits)
    return candidates[distance.masked_fill(~good, 1).argmin(0)]


def recentre(probs: Tensor, thresholds: Tensor) -> Tensor:
    """Move each map's threshold to 0.5 and draw the probabilities apart.

    Args:
        probs: (N, s, s) in [0, 1].
        thresholds: (N,) in (0, 1).

    Returns:
        (N, s, s) in [0, 1], above 0.5 where `probs` is above the threshold.
    """
    odds = probs.clamp(1e-6, 1 - 1e-6).logit() - thresholds.logit()[:, None, None]
    return (SHARPNESS * odds).sigmoid_()


def extent_iou(columns: Tensor, rows: Tensor, boxes: Tensor) -> Tensor:
    """IoU of each box and the smallest box around its mask.

    Args:
        columns, rows: (N, s) bool, which of them the mask has a cell in.
        boxes: (N, 4) in cells.

    Returns:
        (N,) in [0, 1]; 0 for an empty mask.
    """
    x0, x1 = _extent(columns)
    y0, y1 = _extent(rows)
    width = torch.minimum(x1, boxes[:, 2]) - torch.maximum(x0, boxes[:, 0])
    height = torch.minimum(y1, boxes[:, 3]) - torch.maximum(y0, boxes[:, 1])
    common = width.clamp(min=0) * height.clamp(min=0)
    box_area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    union = (x1 - x0) * (y1 - y0) + box_area - common
    return (common / union.clamp(min=1e-6)).clamp_(0, 1)


def _extent(occupied: Tensor) -> tuple[Tensor, Tensor]:
    """(N, s) bool -> first and last + 1 occupied place of each row, both 0 where there is none."""
    s = occupied.shape[1]
    places = torch.arange(s, device=occupied.device, dtype=torch.float32)
    first = torch.where(occupied, places, s).amin(1)
    last = torch.where(occupied, places + 1, 0).amax(1)
    return torch.minimum(first, last), last
