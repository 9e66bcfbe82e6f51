"""Parts that the decoders share: MAL's two heads and the sizes that it decodes at.

N crops, C channels of the encoder's map of h x w cells, D channels of the heads.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def resize(x: Tensor, **kwargs: Any) -> Tensor:
    """Bilinear, half-pixel centres, no antialiasing, as everywhere in the released network."""
    return F.interpolate(x, mode='bilinear', align_corners=False, **kwargs)


def base_map(feature: Tensor | Mapping[float, Tensor]) -> Tensor:
    """The map at the encoder's own resolution: of a pyramid the level of scale 1."""
    return feature[1] if isinstance(feature, Mapping) else feature


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
        """(N, C, h, w) -> (N, D)."""
        x = self.first(feature)
        for fc in self.fcs[1:]:
            x = fc(x.relu())
        return x

    def first(self, feature: Tensor) -> Tensor:
        """(N, C, h, w) -> (N, D), what the first fully connected layer gives, before any ReLU."""
        return self.fcs[0](feature.amax((2, 3)) if self.pool == 'max' else feature.mean((2, 3)))


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
        """(N, C, h, w) -> (N, D, 2h, 2w)."""
        x = feature
        for index, conv in enumerate(self.convs):
            if index == self.upsample_before:
                x = resize(x, scale_factor=2)
            x = conv(x).relu()
        return x


class SizeBins(nn.Module):
    """Decode small objects from a coarser map, large ones from a finer one.

    Args:
        area_bounds: box areas in image px^2 between the bins; bins are half-open, [0, b0),
            [b0, b1), [b1, inf).
        scales: resize factor of the encoder's map in each bin.
        mask_scale: cells of the logits to one of the encoder's map, along each side.

    Raises:
        ValueError: `scales` is not one longer than `area_bounds`, or the bounds do not grow.
    """

    def __init__(
        self, area_bounds: Sequence[float], scales: Sequence[float], mask_scale: int = 4
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
        self.mask_scale = mask_scale

    def forward(
        self,
        feature: Tensor | Mapping[float, Tensor],
        box_areas: Tensor,
        decode: Callable[[Tensor, Tensor], Tensor],
    ) -> Tensor:
        """Decode bin by bin.

        Args:
            feature: (N, C, h, w) map of the encoder; or a pyramid, see ViTFPN: for each of
                `scales` a map, used in place of the resized one.
            box_areas: (N,) box areas in image px^2, on the CPU (they choose the graph; on the
                device every batch would wait for them).
            decode: (resized maps (M, C, h', w') of one bin, their indices (M,)) -> (M, H', W')
                logits of any size.

        Returns:
            (N, m h, m w) mask logits, m = `mask_scale`.
        """
        base = base_map(feature)
        N, _, h, w = base.shape
        size = (self.mask_scale * h, self.mask_scale * w)
        bins = torch.bucketize(
            box_areas.cpu(), torch.tensor(self.area_bounds, dtype=box_areas.dtype), right=True
        )
        logits = base.new_zeros(N, *size)
        parts, places = [], []
        for index, scale in enumerate(self.scales):
            place = (bins == index).nonzero()[:, 0]
            if not len(place):
                continue
            place = place.to(base.device, non_blocking=True)
            if isinstance(feature, Mapping):
                members = feature[scale][place]
            else:
                members = base[place]
                members = resize(members, scale_factor=scale) if scale != 1 else members
            part = decode(members, place)
            parts.append(resize(part[:, None], size=size)[:, 0])
            places.append(place)
        if not parts:
            return logits
        # autocast makes parts half precision; index_copy wants one dtype
        return logits.to(parts[0].dtype).index_copy(0, torch.cat(places), torch.cat(parts))
