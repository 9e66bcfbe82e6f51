"""Query decoder: one learned query looks for the object, as in Mask2Former."""

from __future__ import annotations

import torch
from mmdet.models.layers import Mask2FormerTransformerDecoder, SinePositionalEncoding
from mmdet.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor, nn

from .heads import PixelHead, resize


@MODELS.register_module()
class QueryDecoder(BaseModule):
    """One query, masked cross-attention to the map, dot product with the pixel vectors.

    Source: MAL, arXiv 2301.03992, Fig. 4 and Table 3 (no reasonable result there); the layers and
    the order of Mask2Former, arXiv 2112.01527, Sec. 3.2: each layer looks only where the mask of
    the layer before it is, or everywhere while that mask is empty. Every layer reads the one map
    that the encoder gives; Mask2Former has maps of three sizes, which its layers read by turns.

    Args:
        in_channels: channels of the encoder's map.
        channels: width of query and pixel vectors, divisible by `num_heads` and by 2.
        num_layers: transformer layers (Mask2Former: 9).
        deep_supervision: in training give the mask of the query as it is learned and after each
            layer, all of which the losses judge, as Mask2Former does; False: the last one alone.
        num_heads: heads of the attention.
        upsample_before: see `PixelHead`.
        mask_scale: cells of the logits to one of the encoder's map, along each side.
    """

    def __init__(
        self,
        in_channels: int,
        channels: int = 256,
        num_layers: int = 9,
        deep_supervision: bool = True,
        num_heads: int = 8,
        upsample_before: int = 3,
        mask_scale: int = 4,
    ) -> None:
        super().__init__()
        attention = dict(embed_dims=channels, num_heads=num_heads, dropout=0.0, batch_first=True)
        self.transformer = Mask2FormerTransformerDecoder(
            num_layers=num_layers,
            layer_cfg=dict(
                self_attn_cfg=attention,
                cross_attn_cfg=attention,
                ffn_cfg=dict(embed_dims=channels, feedforward_channels=8 * channels),
            ),
            return_intermediate=True,
        )
        self.deep_supervision = deep_supervision
        self.num_heads = num_heads
        self.mask_scale = mask_scale
        self.input_proj = nn.Conv2d(in_channels, channels, 1)
        self.position = SinePositionalEncoding(channels // 2, normalize=True)
        self.query = nn.Parameter(torch.randn(1, 1, channels))
        self.query_position = nn.Parameter(torch.randn(1, 1, channels))
        self.mask_embed = nn.Sequential(
            nn.Linear(channels, channels),
            nn.ReLU(),
            nn.Linear(channels, channels),
            nn.ReLU(),
            nn.Linear(channels, channels),
        )
        self.pixel_head = PixelHead(in_channels, channels, upsample_before)

    def init_weights(self) -> None:
        """Xavier for the attention, as Mask2Former does."""
        super().init_weights()
        for parameter in self.transformer.parameters():
            if parameter.dim() > 1:
                nn.init.xavier_uniform_(parameter)

    def forward(self, feature: Tensor, box_areas: Tensor) -> Tensor:
        """(N, C, h, w) map, (N,) box areas (unused) -> (N, m h, m w) logits, m = `mask_scale`."""
        return self.decode_layers(feature, box_areas)[-1]

    def decode_layers(self, feature: Tensor, box_areas: Tensor) -> list[Tensor]:
        """The logits that are trained, see `deep_supervision`; the last ones are `forward`'s."""
        N, _, h, w = feature.shape
        pixels = self.pixel_head(feature)
        keys = self.input_proj(feature).flatten(2).transpose(1, 2)
        everywhere = feature.new_zeros(N, h, w, dtype=torch.bool)
        key_position = self.position(everywhere).flatten(2).transpose(1, 2).to(keys.dtype)
        query = self.query.expand(N, -1, -1)
        layers = [self._predict(query, pixels)]
        for layer in self.transformer.layers:
            query = layer(
                query=query,
                key=keys,
                value=keys,
                query_pos=self.query_position.expand(N, -1, -1),
                key_pos=key_position,
                cross_attn_mask=self._outside(layers[-1], h, w),
            )
            layers.append(self._predict(query, pixels))
        if not (self.training and self.deep_supervision):
            layers = layers[-1:]
        size = (self.mask_scale * h, self.mask_scale * w)
        return [resize(logits[:, None], size=size)[:, 0] for logits in layers]

    def _predict(self, query: Tensor, pixels: Tensor) -> Tensor:
        embedding = self.mask_embed(self.transformer.post_norm(query))[:, 0]
        return torch.einsum('nc,nchw->nhw', embedding, pixels)

    def _outside(self, logits: Tensor, h: int, w: int) -> Tensor:
        """(N * heads, 1, h * w): True where the query must not look."""
        outside = resize(logits[:, None], size=(h, w)).detach().flatten(2) < 0
        outside = outside & ~outside.all(-1, keepdim=True)  # not in place, for torch.onnx
        return outside.repeat_interleave(self.num_heads, dim=0)
