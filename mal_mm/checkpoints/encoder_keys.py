"""Tensors of pretrained encoders, from their authors' names and layouts to mmpretrain's.

MAE, DeiT and DINOv2 share the names of timm's VisionTransformer; Swin and ConvNeXt have their own.
Tensors under other names (mmpretrain's own, heads, MAE's decoder) pass unchanged. Each function
takes the file's tensors and the shapes of the encoder's parameters.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from mmpretrain.models.utils import resize_pos_embed
from torch import Tensor

from .dinov2_onnx import ViTArch, to_mmpretrain

Tensors = dict[str, Tensor]
Shapes = Mapping[str, torch.Size]

_HUGGING_FACE_DINOV2 = 'encoder.layer.0.mlp.fc1.bias'  # their other ViTs call it otherwise
_VIT_NAMES = (
    (r'patch_embed\.proj\.(weight|bias)', r'patch_embed.projection.\1'),
    (r'blocks\.(\d+)\.norm([12])\.(\w+)', r'layers.\1.ln\2.\3'),
    (r'blocks\.(\d+)\.attn\.(\w+)\.(\w+)', r'layers.\1.attn.\2.\3'),
    (r'blocks\.(\d+)\.mlp\.fc1\.(\w+)', r'layers.\1.ffn.layers.0.0.\2'),
    (r'blocks\.(\d+)\.mlp\.fc2\.(\w+)', r'layers.\1.ffn.layers.1.\2'),
    (r'blocks\.(\d+)\.ls1\.gamma', r'layers.\1.attn.gamma1.weight'),
    (r'blocks\.(\d+)\.ls2\.gamma', r'layers.\1.ffn.gamma2.weight'),
    (r'norm\.(\w+)', r'ln1.\1'),
)
_SWIN_NAMES = (
    (r'patch_embed\.proj\.(\w+)', r'patch_embed.projection.\1'),
    (r'layers\.(\d+)\.blocks\.(\d+)\.attn\.(.+)', r'stages.\1.blocks.\2.attn.w_msa.\3'),
    (r'layers\.(\d+)\.blocks\.(\d+)\.mlp\.fc1\.(\w+)', r'stages.\1.blocks.\2.ffn.layers.0.0.\3'),
    (r'layers\.(\d+)\.blocks\.(\d+)\.mlp\.fc2\.(\w+)', r'stages.\1.blocks.\2.ffn.layers.1.\3'),
    (r'layers\.(.+)', r'stages.\1'),
    (r'norm\.(\w+)', r'norm3.\1'),
)
_CONVNEXT_NAMES = (
    (r'(stages\.\d+\.\d+)\.dwconv\.(\w+)', r'\1.depthwise_conv.\2'),
    (r'(stages\.\d+\.\d+)\.pwconv([12])\.(\w+)', r'\1.pointwise_conv\2.\3'),
    (r'norm\.(\w+)', r'norm3.\1'),
)


def _rename(name: str, rules: tuple[tuple[str, str], ...]) -> str:
    for old, new in rules:
        if match := re.fullmatch(old, name):
            return match.expand(new)
    return name


def vit_to_mmpretrain(state: Tensors, shapes: Shapes) -> Tensors:
    """MAE, DeiT, DINOv2 (also Hugging Face's Dinov2Model) -> VisionTransformer.

    Position embeddings are resized to the encoder's grid (bicubic), the class token's kept.

    Raises:
        ConversionError: Hugging Face's names, but not of a DINOv2 of the usual form.
    """
    if _HUGGING_FACE_DINOV2 in state:
        state = _from_hugging_face(state)
    state = {_rename(name, _VIT_NAMES): tensor for name, tensor in state.items()}
    if 'pos_embed' in state and 'pos_embed' in shapes:
        state['pos_embed'] = _fit_positions(state['pos_embed'], shapes['pos_embed'][1])
    return state


def swin_to_mmpretrain(state: Tensors, shapes: Shapes) -> Tensors:
    """Swin Transformer (version 1) -> SwinTransformer.

    Tables of relative position biases are resized to the encoder's window (bicubic). Indices into
    them and attention masks follow from the window and are left out.
    """
    converted = {}
    for name, tensor in state.items():
        if name.endswith(('.relative_position_index', '.attn_mask')):
            continue
        new = _rename(name, _SWIN_NAMES)
        if re.match(r'layers\.\d+\.downsample\.', name):
            tensor = reorder_patch_merging(tensor)
        elif new.endswith('.relative_position_bias_table') and new in shapes:
            tensor = _fit_bias_table(tensor, shapes[new][0])
        converted[new] = tensor
    return converted


def convnext_to_mmpretrain(state: Tensors, shapes: Shapes) -> Tensors:
    """ConvNeXt (version 1) -> ConvNeXt."""
    return {_rename(name, _CONVNEXT_NAMES): tensor for name, tensor in state.items()}


def reorder_patch_merging(tensor: Tensor) -> Tensor:
    """The channels that Swin's patch merging reads, from the authors' order to mmcv's.

    The authors concatenate the four neighbours column by column (top left, bottom left, top
    right, bottom right), each with its C channels; mmcv unfolds, so that the channel counts slowly
    and the neighbours row by row.

    Args:
        tensor: (..., 4 C), the reduction's weight or the norm's weight or bias.
    """
    # (column, row, channel) -> (channel, row, column)
    return tensor.unflatten(-1, (2, 2, -1)).transpose(-3, -1).flatten(-3)


def restore_patch_merging(tensor: Tensor) -> Tensor:
    """Inverse of `reorder_patch_merging`: from mmcv's order to the authors'."""
    return tensor.unflatten(-1, (-1, 2, 2)).transpose(-3, -1).flatten(-3)


def _from_hugging_face(state: Tensors) -> Tensors:
    _, tokens, width = state['embeddings.position_embeddings'].shape
    arch = ViTArch(
        embed_dims=width,
        num_layers=sum(name.endswith('.layer_scale1.lambda1') for name in state),
        feedforward_channels=state['encoder.layer.0.mlp.fc1.bias'].numel(),
        patch_size=state['embeddings.patch_embeddings.projection.weight'].shape[-1],
        grid=math.isqrt(tokens),
    )
    return to_mmpretrain({name: tensor.float().numpy() for name, tensor in state.items()}, arch)


def _fit_positions(embedding: Tensor, num_tokens: int) -> Tensor:
    """(1, extra + side^2, C) -> (1, num_tokens, C); unchanged if it has too few extra tokens."""
    side, wanted_side = math.isqrt(embedding.shape[1]), math.isqrt(num_tokens)
    extra, wanted_extra = embedding.shape[1] - side**2, num_tokens - wanted_side**2
    if wanted_extra > extra:
        return embedding
    sizes = (side, side), (wanted_side, wanted_side)
    grid = resize_pos_embed(embedding[:, extra:], *sizes, mode='bicubic', num_extra_tokens=0)
    # the class token comes first; DeiT's distillation token follows it
    return torch.cat([embedding[:, :wanted_extra], grid], dim=1)


def _fit_bias_table(table: Tensor, length: int) -> Tensor:
    """((2 v - 1)^2, heads) of a v x v window -> (length, heads)."""
    side, wanted_side = math.isqrt(table.shape[0]), math.isqrt(length)
    if side == wanted_side:
        return table
    grid = table.T.reshape(1, -1, side, side).float()
    resized = F.interpolate(grid, (wanted_side, wanted_side), mode='bicubic', align_corners=False)
    return resized.flatten(2)[0].T.to(table.dtype)
