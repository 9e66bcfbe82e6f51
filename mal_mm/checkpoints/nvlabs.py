"""The authors' released checkpoints (PyTorch Lightning) -> ours.

Only key names and tensor shapes are known here; the architecture is deduced from the shapes.
"""

from __future__ import annotations

import re
from pathlib import Path

import torch

from .errors import CheckpointError

HEAD_WIDTH = 64  # every published ViT has heads of 64 channels

# authors' name -> ours, inside one network
_RULES = (
    (r'backbone\.(cls_token|pos_embed)', r'encoder.\1'),
    (r'backbone\.patch_embed\.proj\.(\d+\.\d+\.\w+)', r'encoder.patch_embed.proj.\1'),
    (r'backbone\.patch_embed\.proj\.(weight|bias)', r'encoder.patch_embed.projection.\1'),
    (r'backbone\.blocks\.(\d+)\.norm([12])\.(\w+)', r'encoder.layers.\1.ln\2.\3'),
    (r'backbone\.blocks\.(\d+)\.attn\.(qkv|proj)\.(\w+)', r'encoder.layers.\1.attn.\2.\3'),
    (r'backbone\.blocks\.(\d+)\.mlp\.fc1\.(\w+)', r'encoder.layers.\1.ffn.layers.0.0.\2'),
    (r'backbone\.blocks\.(\d+)\.mlp\.fc2\.(\w+)', r'encoder.layers.\1.ffn.layers.1.\2'),
    (r'backbone\.norm\.(\w+)', r'encoder.ln1.\1'),
    (r'roi_head\.mlp1\.(\w+)', r'decoder.instance_head.fcs.0.\1'),
    (r'roi_head\.mlp2\.(\w+)', r'decoder.instance_head.fcs.1.\1'),
    (r'mask_head\.convs\.(\d)\.conv\.(\w+)', r'decoder.pixel_head.convs.\1.\2'),
)

# what else people have at hand: a part of a tensor's name -> what the file is, and what to do
_OTHERS = (
    (r'student\.encoder\.', 'a checkpoint of mal_mm already; use it as it is'),
    (
        r'student\.backbone\.(layers|stages|downsample_layers)\.',
        'a labeler with a Swin or ConvNeXt encoder, and only ViT labelers can be imported',
    ),
    (r'image_encoder\.', 'a Segment Anything model'),
    (
        r'(module\.)?backbone\..*|.*(bbox_head|roi_head|mask_head|panoptic)',
        'a detector or segmenter (of MMDetection, say)',
    ),
    (
        r'(model\.)?(blocks|layers|stages)\.\d+\.',
        "an image encoder; name it in `init_cfg` of the labeler's encoder",
    ),
)


def _what_it_is(state: dict[str, torch.Tensor]) -> str:
    for pattern, what in _OTHERS:
        if any(re.match(pattern, key) for key in state):
            return f'; it looks like {what}'
    return ''


def convert_state_dict(
    state: dict[str, torch.Tensor], source: str | Path = 'state dict'
) -> dict[str, torch.Tensor]:
    """Rename the released tensors to MaskAutoLabeler's.

    Args:
        state: `state_dict` of the authors' file, keys `student.*` and `teacher.*`.
        source: the file's name, for the error.

    Raises:
        CheckpointError: names that do not belong to a released ViT checkpoint.
    """
    converted, unknown = {}, []
    for key, tensor in state.items():
        network, _, rest = key.partition('.')
        names = [
            re.sub(f'^{old}$', new, rest) for old, new in _RULES if re.match(f'^{old}$', rest)
        ]
        if network in ('student', 'teacher') and names:
            converted[f'{network}.{names[0]}'] = tensor
        else:
            unknown.append(key)
    if unknown or not converted:
        raise CheckpointError(
            f'{source}: not a released Mask Auto-Labeler ViT checkpoint: {len(unknown)} of '
            f'{len(state)} tensors have unknown names, e.g. {", ".join(unknown[:4])}'
            f'{_what_it_is(state)}'
        )
    return converted


def deduce_model(
    state: dict[str, torch.Tensor],
    num_heads: int | None = None,
    source: str | Path = 'state dict',
) -> dict:
    """The model config that fits a converted state dict.

    Args:
        state: what `convert_state_dict` gives.
        num_heads: attention heads, which the tensors do not tell; None: one for 64 channels, at
            least 2.
        source: the file's name, for the error.

    Returns:
        Config of MaskAutoLabeler with the released decoder.

    Raises:
        CheckpointError: the tensors that tell the architecture are not all there.
        ValueError: `num_heads` does not divide the width.
    """
    try:
        model = _deduce_model(state, num_heads)
    except (KeyError, ValueError) as error:
        raise CheckpointError(
            f'{source}: a part of the network is missing ({error}); '
            'copy or download the file again'
        ) from error
    arch = model['network']['encoder']['arch']
    if arch['embed_dims'] % arch['num_heads']:
        raise ValueError(
            f'`num_heads` must divide the width {arch["embed_dims"]} of the ViT, got {num_heads}'
        )
    return model


def _deduce_model(state: dict[str, torch.Tensor], num_heads: int | None) -> dict:
    prefix = 'student.encoder.'
    width = state[f'{prefix}cls_token'].shape[-1]
    depth = 1 + max(int(key.split('.')[3]) for key in state if key.startswith(f'{prefix}layers.'))
    tokens = state[f'{prefix}pos_embed'].shape[1] - 1
    conv_stem = f'{prefix}patch_embed.proj.0.0.weight' in state
    patch = 16 if conv_stem else state[f'{prefix}patch_embed.projection.weight'].shape[-1]
    arch = dict(
        embed_dims=width,
        num_layers=depth,
        num_heads=num_heads or max(width // HEAD_WIDTH, 2),
        feedforward_channels=state[f'{prefix}layers.0.ffn.layers.0.0.weight'].shape[0],
    )
    encoder = dict(
        type='ViTEncoder',
        arch=arch,
        img_size=patch * round(tokens**0.5),
        patch_size=patch,
        stem='conv' if conv_stem else 'patch',
    )
    channels = state['student.decoder.pixel_head.convs.0.weight'].shape[0]
    return dict(
        type='MaskAutoLabeler',
        data_preprocessor=dict(type='MALDataPreprocessor'),
        network=dict(
            type='MaskNetwork',
            encoder=encoder,
            decoder=dict(type='AttentionDecoder', channels=channels),
        ),
        test_cfg=dict(
            network='student',  # the authors' default; the configs of configs/mal take the teacher
            flip=False,
            crop_size=512,
            mask_threshold=0.1,
            margin=0.3,
            padding='wrap',
            exact_crops=True,
        ),
    )
