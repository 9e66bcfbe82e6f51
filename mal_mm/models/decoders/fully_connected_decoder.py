"""Fully connected decoder: the whole mask at once."""

from __future__ import annotations

import torch.nn.functional as F
from mmdet.registry import MODELS
from torch import Tensor, nn

from .heads import resize


@MODELS.register_module()
class FullyConnectedDecoder(nn.Module):
    """Two fully connected layers from the pooled map to all mask logits.

    Source: MAL, arXiv 2301.03992, Fig. 4 and Table 3: two layers, 2048 wide. The paper does not
    say how the map gets there; it is pooled to 7 x 7 cells and the mask has 28 x 28, as in the
    heads of Mask R-CNN (the whole 32 x 32 map would need 1.6 billion weights).

    Args:
        in_channels: channels of the encoder's map.
        channels: width of the hidden layer.
        pool_size: side of the pooled map.
        mask_size: side of the predicted mask, before it is resized.
        mask_scale: cells of the logits to one of the encoder's map, along each side.
    """

    def __init__(
        self,
        in_channels: int,
        channels: int = 2048,
        pool_size: int = 7,
        mask_size: int = 28,
        mask_scale: int = 4,
    ) -> None:
        super().__init__()
        self.pool_size = pool_size
        self.mask_size = mask_size
        self.mask_scale = mask_scale
        self.fcs = nn.ModuleList(
            [
                nn.Linear(in_channels * pool_size**2, channels),
                nn.Linear(channels, mask_size**2),
            ]
        )

    def forward(self, feature: Tensor, box_areas: Tensor) -> Tensor:
        """(N, C, h, w) map, (N,) box areas (unused) -> (N, m h, m w) logits, m = `mask_scale`."""
        N, _, h, w = feature.shape
        pooled = F.adaptive_avg_pool2d(feature, self.pool_size).flatten(1)
        logits = self.fcs[1](self.fcs[0](pooled).relu())
        logits = logits.view(N, 1, self.mask_size, self.mask_size)
        return resize(logits, size=(self.mask_scale * h, self.mask_scale * w))[:, 0]
