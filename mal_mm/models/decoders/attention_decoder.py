"""MAL's attention decoder: an instance vector asks the pixels which of them belong to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from mmdet.registry import MODELS
from torch import Tensor, nn

from ...formats.boxes import SIZE_BOUNDS
from .heads import InstanceHead, PixelHead, SizeBins, base_map


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
        area_bounds, scales, mask_scale: see `SizeBins` (released scales 0.5, 1, 2 and masks at 4
            times the map; paper 1, 2, 4 and 16 times, the crop's own size).
    """

    def __init__(
        self,
        in_channels: int,
        channels: int = 256,
        pool: str = 'mean',
        num_fcs: int = 2,
        upsample_before: int = 3,
        area_bounds: Sequence[float] = SIZE_BOUNDS,
        scales: Sequence[float] = (0.5, 1, 2),
        mask_scale: int = 4,
    ) -> None:
        super().__init__()
        self.size_bins = SizeBins(area_bounds, scales, mask_scale)
        self.instance_head = InstanceHead(in_channels, channels, pool, num_fcs)
        self.pixel_head = PixelHead(in_channels, channels, upsample_before)

    def forward(self, feature: Tensor | Mapping[float, Tensor], box_areas: Tensor) -> Tensor:
        """Decode.

        Args:
            feature: (N, C, h, w) map of the encoder, or a pyramid; see `SizeBins`.
            box_areas: (N,) box areas in image px^2, on the CPU.

        Returns:
            (N, m h, m w) mask logits, m = `mask_scale`.
        """
        instance = self.instance_head(base_map(feature))  # before any resize of the map

        def decode(members: Tensor, place: Tensor) -> Tensor:
            return torch.einsum('nc,nchw->nhw', instance[place], self.pixel_head(members))

        return self.size_bins(feature, box_areas, decode)
