"""Encoder and decoder: crops -> mask logits."""

from __future__ import annotations

import torch.nn.functional as F
from mmdet.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor, nn

from .decoders.heads import base_map


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
        neck: config of a ViTFPN in the projection's place; None for none.
        init_cfg: mmengine initialisation.

    Raises:
        ValueError: both `projection` and `neck`, or a decoder that does not read the neck's maps.
    """

    def __init__(
        self,
        encoder: dict,
        decoder: dict,
        feature_stride: int | None = 16,
        projection: int | None = None,
        neck: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        if projection and neck:
            raise ValueError('`projection` and `neck` exclude each other: set one of them to None')
        self.encoder = MODELS.build(encoder) if isinstance(encoder, dict) else encoder
        channels = self.encoder.out_channels
        self.projection = nn.Identity()
        if projection:
            self.projection = nn.Conv2d(channels, projection, 1)
        elif neck:
            blocks = dict(in_channels=self.encoder.last_channels)
            self.projection = MODELS.build(neck, default_args=blocks)
        channels = getattr(self.projection, 'out_channels', channels)
        self.decoder = MODELS.build(decoder, default_args=dict(in_channels=channels))
        self.feature_stride = feature_stride
        if neck:
            self._check_pyramid()

    def _check_pyramid(self) -> None:
        bins = getattr(self.decoder, 'size_bins', None)
        if bins is None or not set(bins.scales) <= set(self.projection.scales):
            raise ValueError(
                f'`neck` gives maps of scale {self.projection.scales}; the decoder must have '
                f'`scales` among them, {type(self.decoder).__name__} has '
                f'{bins.scales if bins is not None else "none"}'
            )

    def encode(self, images: Tensor) -> Tensor:
        """(N, 3, S, S) normalised crops -> (N, C, s, s), s = S // feature_stride."""
        return self._at_stride(self.encoder(images), images)

    def _at_stride(self, feature: Tensor, images: Tensor) -> Tensor:
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
        """(N, C, s, s) map, (N,) box areas in image px^2 -> (N, 4s, 4s) logits.

        4 is the decoder's `mask_scale`.
        """
        return self.decoder(self.projection(feature), box_areas)

    def decode_layers(self, feature: Tensor, box_areas: Tensor) -> list[Tensor]:
        """All logits that are trained: those of a QueryDecoder's layers, the mask's last."""
        if not hasattr(self.decoder, 'decode_layers'):
            return [self.decode(feature, box_areas)]
        return self.decoder.decode_layers(self.projection(feature), box_areas)

    def forward(self, images: Tensor, box_areas: Tensor) -> Tensor:
        """(N, 3, S, S) normalised crops, (N,) box areas in image px^2 -> (N, 4s, 4s) logits."""
        return self.decode(self.encode(images), box_areas)

    # -- for a ClassificationLoss -----------------------------------------------------------------

    def encode_with_class_token(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """As `encode`, and the class token (N, C) of a plain ViT."""
        feature, class_token = self.encoder.forward_with_class_token(images)
        return self._at_stride(feature, images), class_token

    def class_channels(self, source: str) -> int:
        """Length of `class_vectors`.

        Raises:
            ValueError: this network has no such vector.
        """
        if source == 'encoder':
            return self.encoder.out_channels
        if source == 'class_token':
            if getattr(self.encoder, 'cls_token', None) is None:
                raise ValueError(
                    "a ClassificationLoss with source 'class_token' needs a plain ViT "
                    f'(ViTEncoder), whose own head reads that token; got '
                    f'{type(self.encoder).__name__}'
                )
            return self.encoder.last_channels
        if not hasattr(self.decoder, 'instance_head'):
            raise ValueError(
                "a ClassificationLoss with source 'instance_head' needs an AttentionDecoder, got "
                f'{type(self.decoder).__name__}'
            )
        return self.decoder.instance_head.fcs[0].out_features

    def class_vectors(self, source: str, feature: Tensor, class_token: Tensor | None) -> Tensor:
        """(N, C) vectors that a ClassificationLoss with this `source` reads.

        Args:
            source: see ClassificationLoss.
            feature: (N, C, s, s), what `encode` gives.
            class_token: (N, C), of `encode_with_class_token`; only for source 'class_token'.
        """
        if source == 'encoder':
            return feature.mean((2, 3))
        if source == 'class_token':
            return class_token
        return self.decoder.instance_head.first(base_map(self.projection(feature)))
