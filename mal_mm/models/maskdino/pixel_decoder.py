"""Mask DINO's pixel decoder: deformable attention over the backbone's maps, and a mask map."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmcv.cnn import ConvModule
from mmdet.models.layers import SinePositionalEncoding
from mmdet.models.layers.transformer import (
    DeformableDetrTransformerEncoder,
    DeformableDetrTransformerEncoderLayer,
)
from mmdet.registry import MODELS
from mmengine.model import BaseModule, ModuleList, caffe2_xavier_init, xavier_init
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from .levels import flatten_levels, split_levels

FEATURE_ORDERS = ('high2low', 'low2high')


@MODELS.register_module()
class MaskDINOPixelDecoder(BaseModule):
    """Refine the coarse maps with a deformable encoder and build the map that masks are read from.

    Source: Mask DINO, arXiv 2206.02777, Sec. 3; it follows Mask2Former's pixel decoder.

    The coarsest `num_backbone_levels` maps enter the encoder, and `num_extra_levels` more that
    3x3 convolutions of stride 2 make out of the coarsest one. The finest backbone map joins only
    afterwards, in the mask features. Everything runs in float32, also under AMP.

    `feature_order` names the order of the encoder's tokens, and thereby of its outputs and of
    `level_embed`, in the authors' words, which speak of strides: 'low2high' begins with the
    finest map (strides 8, 16, 32, 64), 'high2low' with the coarsest (64, 32, 16, 8). The
    backbone's part of `input_projs` has the same order; the extra levels' follow it.

    With two extra levels the authors' code pairs the features of one with the position map of
    the other. Here each level has its own; no released checkpoint has two.

    Args:
        in_channels: Channels of the backbone's maps, finest first; the first one sets the size
            of the mask features.
        num_backbone_levels: How many of them, counted from the coarsest, enter the encoder.
        num_extra_levels: Levels that are coarser than the backbone's.
        feat_channels: Channels of all outputs but the mask features.
        mask_channels: Channels of the mask features; None: there are none, for boxes alone.
        num_layers: Encoder layers.
        num_heads: Attention heads.
        num_points: Sampling points of a head and level.
        feedforward_channels: Hidden channels of a layer's perceptron.
        feature_order: 'high2low' or 'low2high', see above.
        with_cp: Trade time for memory: recompute the layers in the backward pass.

    Raises:
        ValueError: `feature_order` is another word, or more levels than maps are asked for.
    """

    def __init__(
        self,
        in_channels: Sequence[int] = (256, 512, 1024, 2048),
        num_backbone_levels: int = 3,
        num_extra_levels: int = 1,
        feat_channels: int = 256,
        mask_channels: int | None = 256,
        num_layers: int = 6,
        num_heads: int = 8,
        num_points: int = 4,
        feedforward_channels: int = 1024,
        feature_order: str = 'high2low',
        with_cp: bool = False,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg=init_cfg)
        if feature_order not in FEATURE_ORDERS:
            raise ValueError(
                f'`feature_order` must be one of {", ".join(FEATURE_ORDERS)}, '
                f'got {feature_order!r}'
            )
        if not 1 <= num_backbone_levels <= len(in_channels):
            raise ValueError(
                f'`num_backbone_levels` must be 1 to {len(in_channels)}, the number of '
                f'`in_channels`, got {num_backbone_levels}'
            )
        self.num_backbone_levels = num_backbone_levels
        self.num_levels = num_backbone_levels + num_extra_levels
        self.coarse_first = feature_order == 'high2low'
        self.with_cp = with_cp

        norm_cfg = dict(type='GN', num_groups=32)
        backbone_channels = list(in_channels[-num_backbone_levels:])
        if self.coarse_first:
            backbone_channels.reverse()
        self.input_projs = ModuleList(
            ConvModule(channels, feat_channels, 1, bias=True, norm_cfg=norm_cfg, act_cfg=None)
            for channels in backbone_channels
        )
        channels = in_channels[-1]
        for _ in range(num_extra_levels):
            self.input_projs.append(
                ConvModule(
                    channels,
                    feat_channels,
                    3,
                    stride=2,
                    padding=1,
                    bias=True,
                    norm_cfg=norm_cfg,
                    act_cfg=None,
                )
            )
            channels = feat_channels

        self.positional_encoding = SinePositionalEncoding(feat_channels // 2, normalize=True)
        self.level_embed = nn.Parameter(torch.empty(self.num_levels, feat_channels))
        self.layers = ModuleList(
            DeformableDetrTransformerEncoderLayer(
                self_attn_cfg=dict(
                    embed_dims=feat_channels,
                    num_heads=num_heads,
                    num_levels=self.num_levels,
                    num_points=num_points,
                    dropout=0.0,
                    batch_first=True,
                ),
                ffn_cfg=dict(embed_dims=feat_channels, feedforward_channels=feedforward_channels),
            )
            for _ in range(num_layers)
        )

        self.with_mask = mask_channels is not None
        # absent, not idle: DistributedDataParallel wants a gradient for each parameter
        if self.with_mask:
            self.lateral_conv = ConvModule(
                in_channels[0], feat_channels, 1, norm_cfg=norm_cfg, act_cfg=None
            )
            self.output_conv = ConvModule(
                feat_channels, feat_channels, 3, padding=1, norm_cfg=norm_cfg
            )
            self.mask_feature = nn.Conv2d(feat_channels, mask_channels, 1)
        self.init_weights()

    def init_weights(self) -> None:
        """The authors' initialisation."""
        for proj in self.input_projs:
            xavier_init(proj.conv, distribution='uniform')
        nn.init.normal_(self.level_embed)
        for parameter in self.layers.parameters():
            if parameter.dim() > 1:
                nn.init.xavier_uniform_(parameter)
        for layer in self.layers:
            layer.self_attn.init_weights()
        if self.with_mask:
            for conv in (self.lateral_conv.conv, self.output_conv.conv, self.mask_feature):
                caffe2_xavier_init(conv)

    def forward(
        self, feats: Sequence[Tensor], padding_masks: Sequence[Tensor] | None = None
    ) -> tuple[Tensor | None, list[Tensor]]:
        """Encode the backbone's maps.

        Args:
            feats: maps (B, C_l, H_l, W_l), finest first.
            padding_masks: for each level, in the encoder's order, (B, H_l, W_l), nonzero where
                the batch is padded; the padding is then not attended to. Mask DINO itself
                never hands them over: it attends to the padding, too.

        Returns:
            mask features (B, mask_channels, H_0, W_0) or None, and the encoder's outputs
            (B, feat_channels, H_l, W_l) in the order of its tokens.
        """
        with torch.autocast(feats[0].device.type, enabled=False):
            feats = [feat.float() for feat in feats]
            outs = self._encode(self._project(feats), padding_masks)
            return self._mask_features(feats[0], outs) if self.with_mask else None, outs

    def _mask_features(self, feat: Tensor, outs: Sequence[Tensor]) -> Tensor:
        lateral = self.lateral_conv(feat)
        finest = outs[-1] if self.coarse_first else outs[0]
        finest = F.interpolate(finest, lateral.shape[-2:], mode='bilinear', align_corners=False)
        return self.mask_feature(self.output_conv(lateral + finest))

    def _project(self, feats: Sequence[Tensor]) -> list[Tensor]:
        """Maps of all the encoder's levels, in its order."""
        n = self.num_backbone_levels
        inputs = feats[: -n - 1 : -1] if self.coarse_first else feats[-n:]
        levels = [proj(feat) for proj, feat in zip(self.input_projs[:n], inputs, strict=True)]
        extra = feats[-1]  # as the backbone gives it, not projected
        for proj in self.input_projs[n:]:
            extra = proj(extra)
            levels.insert(0 if self.coarse_first else len(levels), extra)
        return levels

    def _encode(
        self, levels: Sequence[Tensor], padding_masks: Sequence[Tensor] | None
    ) -> list[Tensor]:
        if padding_masks is None:
            padding = None
            valid_ratios = levels[0].new_ones(len(levels[0]), len(levels), 2)
        else:
            masks = [mask.bool() for mask in padding_masks]
            padding = torch.cat([mask.flatten(1) for mask in masks], dim=1)
            valid_ratios = torch.stack([_valid_ratio(mask) for mask in masks], dim=1)
        # the position map ignores padding
        positions = [
            self.positional_encoding(level.new_zeros(1, *level.shape[-2:])) + embed[:, None, None]
            for level, embed in zip(levels, self.level_embed, strict=True)
        ]
        query_pos = flatten_levels(positions).tokens.expand(len(levels[0]), -1, -1)
        tokens, sizes, shapes, starts = flatten_levels(levels)
        reference_points = DeformableDetrTransformerEncoder.get_encoder_reference_points(
            sizes, valid_ratios, tokens.device
        )
        for layer in self.layers:
            arguments = dict(
                query_pos=query_pos,
                key_padding_mask=padding,
                spatial_shapes=shapes,
                level_start_index=starts,
                reference_points=reference_points,
            )
            if self.with_cp and self.training:
                tokens = checkpoint(layer, tokens, use_reentrant=False, **arguments)
            else:
                tokens = layer(tokens, **arguments)
        return split_levels(tokens, sizes)


def _valid_ratio(padding_mask: Tensor) -> Tensor:
    """(B, H, W) bool, true where padded -> (B, 2) valid share of width and of height."""
    valid = (~padding_mask).float()
    return torch.stack([valid[:, 0].mean(1), valid[:, :, 0].mean(1)], dim=-1)
