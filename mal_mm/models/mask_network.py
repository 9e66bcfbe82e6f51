"""Encoder and decoder: crops -> mask logits."""

from __future__ import annotations

import torch.nn.functional as F
from mmdet.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor, nn


@MODELS.register_module()
class MaskNetwork(BaseModule):
    """One half (student or teacher) of the labeler.

    Args:
        encoder: config of the encoder, or a built one.
        decoder: config of the decoder; `in_channels` defaults to what it gets.
        feature_stride: crop pixels to a cell of the map that the decoder gets; maps of another
            stride (14, 32) are resized to it (bilinear). None hands them on as they are.
        projection: channels that a trained 1 x 1 convolution brings the encoder's map to before
            the decoder; None for none. It keeps the decoder small behind a wide frozen encoder.
        init_cfg: mmengine initialisation.
    """

    def __init__(
        self,
        encoder: dict,
        decoder: dict,
        feature_stride: int | None = 16,
        projection: int | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        self.encoder = MODELS.build(encoder) if isinstance(encoder, dict) else encoder
        channels = self.encoder.out_channels
        self.projection = nn.Conv2d(channels, projection, 1) if projection else nn.Identity()
        self.decoder = MODELS.build(decoder, default_args=dict(in_channels=projection or channels))
        self.feature_stride = feature_stride

    def encode(self, images: Tensor) -> Tensor:
        """(N, 3, S, S) normalised crops -> (N, C, s, s), s = S // feature_stride."""
        feature = self.encoder(images)
        if self.feature_stride is None:
            return feature
        size = tuple(side // self.feature_stride for side in images.shape[2:])
        if feature.shape[2:] == size:
            return feature
        return F.interpolate(feature, size, mode='bilinear', align_corners=False)

    def last_layer(self, feature: Tensor) -> Tensor:
        """Of a map with several layers of a frozen ViT the last, else the map itself."""
        return feature[:, -self.encoder.last_channels :]

    def decode(self, feature: Tensor, box_areas: Tensor) -> Tensor:
        """(N, C, s, s) map, (N,) box areas in image px^2 -> (N, 4s, 4s) logits."""
        return self.decoder(self.projection(feature), box_areas)

    def forward(self, images: Tensor, box_areas: Tensor) -> Tensor:
        """(N, 3, S, S) normalised crops, (N,) box areas in image px^2 -> (N, 4s, 4s) logits."""
        return self.decode(self.encode(images), box_areas)
