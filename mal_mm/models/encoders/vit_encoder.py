"""Vision Transformer encoder: crop -> one feature map."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmdet.registry import MODELS
from mmpretrain.models.backbones import VisionTransformer
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from ...checkpoints.encoder_keys import vit_to_mmpretrain
from .backbone_encoder import BackboneEncoder
from .conv_stem import ConvStem
from .cpu_attention import scaled_dot_product_attention

STEMS = ('patch', 'conv')


def resize_position_embedding(
    embedding: Tensor, size_hw: tuple[int, int], num_extra_tokens: int = 1, offset: float = 0.1
) -> Tensor:
    """Resize a square grid of position embeddings (bicubic).

    Source: released behaviour: the scale factor is (tokens + 0.1) / side, handed to the
    interpolation as it is. That differs from asking for a size by a small shift of the sampling
    points.

    Args:
        embedding: (1, extra + side * side, C).
        size_hw: wanted token grid.
        num_extra_tokens: leading tokens without a place (class token), kept.
        offset: added to the wanted side; keeps floor(side * scale) from rounding down.

    Returns:
        (1, extra + H * W, C).
    """
    extra, grid = embedding[:, :num_extra_tokens], embedding[:, num_extra_tokens:]
    side = round(int(grid.shape[1]) ** 0.5)  # int: torch.onnx sees sizes as tensors
    if tuple(size_hw) == (side, side):
        return embedding
    grid = grid.reshape(1, side, side, -1).permute(0, 3, 1, 2)
    # bicubic interpolation exists in float32 only on some devices
    resized = F.interpolate(
        grid.float(),
        scale_factor=tuple((wanted + offset) / side for wanted in size_hw),
        mode='bicubic',
        align_corners=False,
    )
    if resized.shape[2:] != tuple(size_hw):
        raise ValueError(
            f'position embeddings of {side}x{side} tokens became {tuple(resized.shape[2:])}, '
            f'wanted {tuple(size_hw)}'
        )
    return torch.cat([extra, resized.flatten(2).transpose(1, 2).to(extra.dtype)], dim=1)


@MODELS.register_module()
class ViTEncoder(BackboneEncoder, VisionTransformer):
    """mmpretrain's VisionTransformer, for one map: the patch tokens after the final norm.

    Earlier blocks hold finer detail than the last: with several `out_indices` the map is their
    tokens, each block's after the final norm, side by side.

    Args:
        arch: a name of mmpretrain's arch zoo ('base', 'large', 'huge', 'deit-small',
            'dinov2-small', ...) or a dict with embed_dims, num_layers, num_heads,
            feedforward_channels. MAE's and DINOv2's base and large are 'base' and 'large'.
        img_size: image side that the stored position embeddings stand for; any crop size works in
            forward.
        patch_size: side of a patch.
        stem: 'patch' (the ViT's own projection) or 'conv' (released checkpoints).
        out_indices: blocks whose tokens make the map, counted from 0; negative ones from the end.
        frozen: see `BackboneEncoder`.
        with_cp: activation checkpointing: forget what a layer computes and compute it again in
            backward; less memory, a third more time.
        **kwargs: further arguments of mmpretrain's VisionTransformer: drop_path_rate (stochastic
            depth), frozen_stages (k: embeddings and the first k layers), init_cfg,
            layer_scale_init_value (> 0 for DINOv2), ...

    Raises:
        ValueError: unknown `stem`, a conv stem with another patch size than 16, or
            `out_indices` that are not there or do not rise.
    """

    convert_state = staticmethod(vit_to_mmpretrain)

    def __init__(
        self,
        arch: str | dict = 'base',
        img_size: int = 224,
        patch_size: int = 16,
        stem: str = 'patch',
        out_indices: int | Sequence[int] = -1,
        frozen: bool = False,
        with_cp: bool = False,
        **kwargs: object,
    ) -> None:
        if stem not in STEMS:
            raise ValueError(f'`stem` must be one of {STEMS}, got {stem!r}')
        if stem == 'conv' and patch_size != ConvStem.stride:
            raise ValueError(
                f'a conv stem has stride {ConvStem.stride}, got `patch_size` {patch_size}'
            )
        super().__init__(
            arch=arch, img_size=img_size, patch_size=patch_size, out_type='featmap', **kwargs
        )
        self.out_indices = self._count_from_first(out_indices)
        if stem == 'conv':
            self.patch_embed = ConvStem(self.embed_dims, input_size=img_size)
        self.patch_size = self.stride = patch_size
        self.with_cp = with_cp
        for layer in self.layers:
            layer.attn.scaled_dot_product_attention = scaled_dot_product_attention
        self._freeze(frozen)

    @property
    def out_channels(self) -> int:
        """Channels of the feature map."""
        return self.embed_dims * len(self.out_indices)

    @property
    def last_channels(self) -> int:
        return self.embed_dims

    def _count_from_first(self, out_indices: int | Sequence[int]) -> list[int]:
        indices = [out_indices] if isinstance(out_indices, int) else list(out_indices)
        number = self.num_layers
        counted = [index + number if index < 0 else index for index in indices]
        if not counted or not all(0 <= index < number for index in counted):
            raise ValueError(
                f'`out_indices` must name some of the {number} blocks, 0 to {number - 1}, got '
                f'{out_indices}'
            )
        if counted != sorted(set(counted)):
            raise ValueError(f'`out_indices` must rise, got {out_indices}')
        return counted

    def train(self, mode: bool = True) -> ViTEncoder:
        super().train(mode)
        if self.frozen_stages > 0:  # mmpretrain sees to it once, before the first train()
            self._freeze_stages()
        return self

    def forward_with_class_token(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """The map as `forward` gives it, and the class token (N, C) after the final norm.

        Raises:
            ValueError: the encoder has no class token, or as `forward`.
        """
        if self.cls_token is None:
            raise ValueError('this ViT has no class token (`with_cls_token=False`)')
        return self._checked(self._encode_tokens, image)

    def _encode(self, image: Tensor) -> Tensor:
        return self._encode_tokens(image)[0]

    def _encode_tokens(self, image: Tensor) -> tuple[Tensor, Tensor]:
        tokens, grid_hw = self.patch_embed(image)
        if self.cls_token is not None:
            tokens = torch.cat([self.cls_token.expand(image.shape[0], -1, -1), tokens], dim=1)
        tokens = tokens + resize_position_embedding(self.pos_embed, grid_hw, self.num_extra_tokens)
        tokens = self.pre_norm(self.drop_after_pos(tokens))
        maps = []
        for index, layer in enumerate(self.layers[: self.out_indices[-1] + 1]):
            if self.with_cp and torch.is_grad_enabled():
                tokens = checkpoint(layer, tokens, use_reentrant=False)
            else:
                tokens = layer(tokens)
            if index in self.out_indices:
                normed = self.ln1(tokens) if self.final_norm else tokens
                maps.append(self._format_output(normed, grid_hw))
        return torch.cat(maps, dim=1) if len(maps) > 1 else maps[0], normed[:, 0]
