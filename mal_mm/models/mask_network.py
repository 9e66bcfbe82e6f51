"""Encoder and decoder: crops -> mask logits."""

from __future__ import annotations

from mmdet.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor


@MODELS.register_module()
class MaskNetwork(BaseModule):
    """One half (student or teacher) of the labeler.

    Args:
        encoder: config of the encoder, or a built one.
        decoder: config of the decoder; `in_channels` defaults to the encoder's `out_channels`.
        init_cfg: mmengine initialisation.
    """

    def __init__(self, encoder: dict, decoder: dict, init_cfg: dict | None = None) -> None:
        super().__init__(init_cfg)
        self.encoder = MODELS.build(encoder) if isinstance(encoder, dict) else encoder
        self.decoder = MODELS.build(
            decoder, default_args=dict(in_channels=self.encoder.out_channels)
        )

    def forward(self, images: Tensor, box_areas: Tensor) -> Tensor:
        """(N, 3, S, S) normalised crops, (N,) box areas in image px^2 -> (N, s, s) logits."""
        return self.decoder(self.encoder(images), box_areas)
