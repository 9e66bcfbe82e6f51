"""Fully convolutional decoder: the attention decoder without its instance vector."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mmdet.registry import MODELS
from torch import Tensor, nn

from ...formats.boxes import SIZE_BOUNDS
from .heads import PixelHead, SizeBins


@MODELS.register_module()
class FullyConvDecoder(nn.Module):
    """Four 3x3 convolutions and a 1x1 convolution to one logit a pixel.

    Source: MAL, arXiv 2301.03992, Fig. 4 and Table 3. The same pixel head and size bins as in the
    AttentionDecoder, so that the table compares the instance vector and nothing else.

    Args:
        in_channels: channels of the encoder's map.
        channels: width of the convolutions.
        upsample_before: see `PixelHead`.
        area_bounds, scales, mask_scale: see `SizeBins`.
    """

    def __init__(
        self,
        in_channels: int,
        channels: int = 256,
        upsample_before: int = 3,
        area_bounds: Sequence[float] = SIZE_BOUNDS,
        scales: Sequence[float] = (0.5, 1, 2),
        mask_scale: int = 4,
    ) -> None:
        super().__init__()
        self.size_bins = SizeBins(area_bounds, scales, mask_scale)
        self.pixel_head = PixelHead(in_channels, channels, upsample_before)
        self.predictor = nn.Conv2d(channels, 1, 1)

    def forward(self, feature: Tensor | Mapping[float, Tensor], box_areas: Tensor) -> Tensor:
        """(N, C, h, w) map or pyramid, (N,) box areas in image px^2 -> (N, m h, m w) logits."""

        def decode(members: Tensor, place: Tensor) -> Tensor:
            return self.predictor(self.pixel_head(members))[:, 0]

        return self.size_bins(feature, box_areas, decode)
