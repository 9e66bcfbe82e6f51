"""Where Mask DINO's queries start: grid proposals, and boxes around predicted masks."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mmdet.models.layers.transformer import inverse_sigmoid
from mmdet.structures.bbox import bbox_xyxy_to_cxcywh
from torch import Tensor

BOX_INITS = ('no', 'bitmask', 'mask2box')


def grid_proposals(
    sizes: Sequence[tuple[int, int]], device: torch.device | str = 'cpu'
) -> tuple[Tensor, Tensor]:
    """A square box at each cell; its side doubles from level to level, whatever their strides.

    Args:
        sizes: (height, width) of each level, in the decoder's order.
        device: where to put the results.

    Returns:
        boxes (N, 4) as the inverse sigmoid of normalised cx, cy, w, h, with w = h = 0.05 * 2^l at
        level l; +inf where invalid. And (N,) bool, valid: all four numbers lie in (0.01, 0.99).
    """
    levels = []
    for level, (H, W) in enumerate(sizes):
        y, x = torch.meshgrid(
            (torch.arange(H, device=device) + 0.5) / H,
            (torch.arange(W, device=device) + 0.5) / W,
            indexing='ij',
        )
        side = torch.full_like(x, 0.05 * 2**level)
        levels.append(torch.stack([x, y, side, side], dim=-1).flatten(0, 1))
    boxes = torch.cat(levels)
    valid = ((boxes > 0.01) & (boxes < 0.99)).all(-1)
    return torch.logit(boxes).masked_fill(~valid[:, None], torch.inf), valid


def mask_boxes_unsig(mask_logits: Tensor, box_init: str) -> Tensor:
    """Tight boxes of the pixels with a logit above 0, as the decoder's reference points.

    Args:
        mask_logits: (..., H, W).
        box_init: 'bitmask': the box ends behind its last pixel, an empty mask has cx, cy, w, h
            = (0, 0, 0, 0). 'mask2box': it ends at the last pixel's index, so that a box is one
            pixel short, and an empty mask has (1, 1, 0, 0).

    Returns:
        (..., 4) float32, the inverse sigmoid (clamped at 1e-5) of cx, cy, w, h as shares of W, H.
    """
    H, W = mask_logits.shape[-2:]
    inside = mask_logits > 0
    x0, x1 = _extent(inside.any(-2))
    y0, y1 = _extent(inside.any(-1))
    end = 1 if box_init == 'bitmask' else 0
    boxes = torch.stack([x0, y0, x1 + end, y1 + end], dim=-1).float()
    boxes = bbox_xyxy_to_cxcywh(boxes) / boxes.new_tensor([W, H, W, H])
    empty = boxes.new_tensor([0, 0, 0, 0] if box_init == 'bitmask' else [1, 1, 0, 0])
    return inverse_sigmoid(torch.where(inside.flatten(-2).any(-1)[..., None], boxes, empty))


def _extent(occupied: Tensor) -> tuple[Tensor, Tensor]:
    """(..., N) bool -> index of the first and of the last true entry."""
    ones = occupied.byte()
    last = occupied.shape[-1] - 1
    return ones.argmax(-1), last - ones.flip(-1).argmax(-1)
