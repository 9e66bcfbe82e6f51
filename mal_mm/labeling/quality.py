"""How good a pseudo-mask is, from what the labeler knows itself."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def mask_quality(probs: Tensor, crop_boxes: Tensor, threshold: float = 0.5) -> Tensor:
    """Estimate each mask's quality: decidedness times tightness.

    Decidedness is the soft IoU of the probabilities with their own binary mask, 1 when every pixel
    is surely in or out. Tightness is the IoU between the box and the smallest box around the mask,
    1 when the mask touches all four sides, as a tight box demands.

    Args:
        probs: (N, S, S) mask probabilities on the crop, zero outside the box.
        crop_boxes: (N, 4) in crop pixels.
        threshold: where the binary mask is cut.

    Returns:
        (N,) in [0, 1]; 0 for an empty mask.
    """
    # sums and maxima of floats only: those of booleans take a CPU ten times as long
    kept = F.threshold(probs, threshold, 0.0)
    common = kept.sum((1, 2))
    area = kept.ceil_().sum((1, 2))  # kept is 0, or in (threshold, 1]
    decided = common / (probs.sum((1, 2)) + area - common).clamp(min=1e-6)

    x0, x1 = _extent(probs.amax(1) > threshold)
    y0, y1 = _extent(probs.amax(2) > threshold)
    boxes = crop_boxes.to(probs.device)
    extent_area = (x1 - x0) * (y1 - y0)
    box_area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    width = torch.minimum(x1, boxes[:, 2]) - torch.maximum(x0, boxes[:, 0])
    height = torch.minimum(y1, boxes[:, 3]) - torch.maximum(y0, boxes[:, 1])
    overlap = width.clamp(min=0) * height.clamp(min=0)
    tight = overlap / (extent_area + box_area - overlap).clamp(min=1e-6)
    return (decided * tight).clamp(0, 1)


def _extent(occupied: Tensor) -> tuple[Tensor, Tensor]:
    """(N, S) bool -> first and last + 1 occupied place of each row, both 0 where there is none."""
    S = occupied.shape[1]
    places = torch.arange(S, device=occupied.device, dtype=torch.float32)
    first = torch.where(occupied, places, S).amin(1)
    last = torch.where(occupied, places + 1, 0).amax(1)
    return torch.minimum(first, last), last
