"""MAL's attention decoder: an instance vector asks the pixels which of them belong to it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from mmdet.registry import MODELS
from torch import Tensor, nn


def _resize(x: Tensor, **kwargs: object) -> Tensor:
    return F.interpolate(x, mode='bilinear', align_corners=False, **kwargs)


class InstanceHead(nn.Module):
    """K: the crop's feature map -> one instance vector.

    Args:
        in_channels: channels of the feature map.
        channels: length of the vector.
        pool: 'max' (paper) or 'mean' (released).
        num_fcs: fully connected layers, ReLU between them: 1 (paper) or 2 (released).

    Raises:
        ValueError: unknown `pool` or `num_fcs` < 1.
    """

    def __init__(self, in_channels: int, channels: int, pool: str, num_fcs: int) -> None:
        super().__init__()
        if pool not in ('max', 'mean'):
            raise ValueError(f"`pool` must be 'max' or 'mean', got {pool!r}")
        if num_fcs < 1:
            raise ValueError(f'`num_fcs` must be at least 1, got {num_fcs}')
        self.pool = pool
        widths = [in_channels] + [channels] * num_fcs
        self.fcs = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(widths))

    def forward(self, feature: Tensor) -> Tensor:
        """(N, C, h, w) -> (N, channels)."""
        x = feature.amax((2, 3)) if self.pool == 'max' else feature.mean((2, 3))
        for index, fc in enumerate(self.fcs):
            x = fc(x.relu() if index else x)
        return x


class PixelHead(nn.Module):
    """V: the feature map -> pixel vectors at twice its resolution.

    Args:
        in_channels: channels of the feature map.
        channels: length of the vectors.
        upsample_before: index (0 to 3) of the 3x3 convolution before which the map is doubled: 2
            (paper) or 3 (released).
    """

    def __init__(self, in_channels: int, channels: int, upsample_before: int) -> None:
        super().__init__()
        if not 0 <= upsample_before <= 3:
            raise ValueError(f'`upsample_before` must be 0 to 3, got {upsample_before}')
        self.upsample_before = upsample_before
        widths = [in_channels] + [channels] * 4
        self.convs = nn.ModuleList(nn.Conv2d(a, b, 3, padding=1) for a, b in pairwise(widths))

    def forward(self, feature: Tensor) -> Tensor:
        """(N, C, h, w) -> (N, channels, 2h, 2w)."""
        x = feature
        for index, conv in enumerate(self.convs):
            if index == self.upsample_before:
                x = _resize(x, scale_factor=2)
            x = conv(x).relu()
        return x


@MODELS.register_module()
class AttentionDecoder(nn.Module):
    """Mask logits as the dot product of an instance vector and the pixel vectors.

    Source: MAL, arXiv 2301.03992, Sec. 3.2; defaults of the released code. The map that V reads
    depends on the object's size in the image, so that small objects are decoded cheaply and large
    ones finely.

    Args:
        in_channels: channels of the encoder's map.
        channels: width of both heads.
        pool, num_fcs: see `InstanceHead`.
        upsample_before: see `PixelHead`.
        area_bounds: box areas in image px^2 between the size bins; bins are half-open, [0, b0),
            [b0, b1), [b1, inf).
        scales: resize factor of the encoder's map in each bin.

    Raises:
        ValueError: `scales` is not one longer than `area_bounds`, or the bounds do not grow.
    """

    def __init__(
        self,
        in_channels: int,
        channels: int = 256,
        pool: str = 'mean',
        num_fcs: int = 2,
        upsample_before: int = 3,
        area_bounds: Sequence[float] = (32**2, 96**2),
        scales: Sequence[float] = (0.5, 1, 2),
    ) -> None:
        super().__init__()
        if len(scales) != len(area_bounds) + 1:
            raise ValueError(
                f'`scales` must be one longer than `area_bounds`, got {scales} and {area_bounds}'
            )
        if list(area_bounds) != sorted(set(area_bounds)):
            raise ValueError(f'`area_bounds` must grow, got {area_bounds}')
        self.area_bounds = tuple(area_bounds)
        self.scales = tuple(scales)
        self.instance_head = InstanceHead(in_channels, channels, pool, num_fcs)
        self.pixel_head = PixelHead(in_channels, channels, upsample_before)

    def forward(self, feature: Tensor, box_areas: Tensor) -> Tensor:
        """Decode.

        Args:
            feature: (N, C, h, w) map of the encoder.
            box_areas: (N,) box areas in image px^2, on the CPU (they choose the graph; on the
                device every batch would wait for them).

        Returns:
            (N, 4h, 4w) mask logits.
        """
        N, _, h, w = feature.shape
        instance = self.instance_head(feature)
        bins = torch.bucketize(
            box_areas.cpu(), torch.tensor(self.area_bounds, dtype=box_areas.dtype), right=True
        )
        logits = feature.new_zeros(N, 4 * h, 4 * w)
        parts, places = [], []
        for index, scale in enumerate(self.scales):
            place = (bins == index).nonzero()[:, 0]
            if not len(place):
                continue
            place = place.to(feature.device, non_blocking=True)
            members = feature[place]
            if scale != 1:
                members = _resize(members, scale_factor=scale)
            pixels = self.pixel_head(members)
            part = torch.einsum('nc,nchw->nhw', instance[place], pixels)
            parts.append(_resize(part[:, None], size=(4 * h, 4 * w))[:, 0])
            places.append(place)
        if not parts:
            return logits
        # autocast makes parts half precision; index_copy wants one dtype
        return logits.to(parts[0].dtype).index_copy(0, torch.cat(places), torch.cat(parts))
