"""Points at which masks are compared instead of whole maps.

N masks, P points (x, y) in [0, 1] with x to the right; cell centres lie at (i + 0.5) / size.
"""

from __future__ import annotations

import torch
from mmcv.ops import point_sample
from mmdet.models.utils import get_uncertain_point_coords_with_randomness
from torch import Tensor


class PointSampler:
    """Draws the points of costs and losses.

    Source: PointRend, arXiv 1912.08193, by way of Mask2Former, arXiv 2112.01527.

    Args:
        num_points: P.
        oversample_ratio: so many times P uniform candidates for the uncertain points of a loss.
        importance_sample_ratio: share of P that is uncertain; the rest is uniform.
    """

    def __init__(
        self,
        num_points: int = 12544,
        oversample_ratio: float = 3.0,
        importance_sample_ratio: float = 0.75,
    ) -> None:
        self.num_points = num_points
        self.oversample_ratio = oversample_ratio
        self.importance_sample_ratio = importance_sample_ratio

    def uniform(self, device: torch.device) -> Tensor:
        """(P, 2) points anywhere, for all costs of one image."""
        return torch.rand(self.num_points, 2, device=device)

    @torch.no_grad()
    def uncertain(self, mask_logits: Tensor) -> Tensor:
        """(N, P, 2) points, mostly where the masks' logits (N, h, w) are close to zero."""
        return get_uncertain_point_coords_with_randomness(
            mask_logits[:, None],
            None,
            self.num_points,
            self.oversample_ratio,
            self.importance_sample_ratio,
        )


def sample_maps(maps: Tensor, points: Tensor) -> Tensor:
    """Bilinear values (N, P) of float maps (N, h, w) at points (N, P, 2), differentiable.

    Where all maps share their points, (P, 2) will do and saves copying them.
    """
    if points.dim() == 2:
        return point_sample(maps[None], points[None])[0]
    return point_sample(maps[:, None], points)[:, 0]


@torch.no_grad()
def sample_masks(masks: Tensor, index: Tensor, points: Tensor) -> Tensor:
    """Bilinear values of some 0/1 masks at points, without a float copy of the masks.

    The same as `sample_maps(masks[index].float(), points)`, but of each mask only the cells
    around the points are read; the masks of a batch of large images would not fit otherwise, for
    each of them is sampled once per decoder layer and denoising group.

    Args:
        masks: (M, H, W) uint8.
        index: (N,) int64, which masks.
        points: (N, P, 2) or, the same for all, (P, 2).

    Returns:
        (N, P) float32 in [0, 1], zero beyond the edge.
    """
    _, H, W = masks.shape
    points = points.float().expand(len(index), *points.shape[-2:])
    x, y = points[..., 0] * W - 0.5, points[..., 1] * H - 0.5
    left, top = x.floor(), y.floor()
    values = torch.zeros_like(x)
    flat = masks.reshape(-1)
    first_cell = index[:, None] * (H * W)
    for column in (left, left + 1):
        for row in (top, top + 1):
            inside = (column >= 0) & (column < W) & (row >= 0) & (row < H)
            cell = row.clamp(0, H - 1).long() * W + column.clamp(0, W - 1).long()
            weight = (1 - (x - column).abs()) * (1 - (y - row).abs()) * inside
            values += weight * flat[first_cell + cell]
    return values
