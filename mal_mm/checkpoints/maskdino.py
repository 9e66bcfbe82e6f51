"""The authors' Mask DINO checkpoints (detectron2) <-> ours.

Only key names and tensor shapes are known here; the architecture is deduced from the shapes.
Images reach both programs in RGB order with the same mean and deviation, so the first convolution
stays as it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .encoder_keys import reorder_patch_merging, restore_patch_merging
from .errors import CheckpointError

Tensors = dict[str, Tensor]

NO_OBJECT_WEIGHT = 0.1  # the last of criterion.empty_weight, which our models do not store
_EMPTY_WEIGHT = 'criterion.empty_weight'
PIXEL_DECODER = 'panoptic_head.pixel_decoder.'
DECODER = 'panoptic_head.decoder.'
_PATCH_MERGING = re.compile(r'backbone\.stages\.\d+\.downsample\.(norm|reduction)\.\w+')

# What fields of the templates stand for, by their first letter: a number, a parameter, any rest.
_FIELDS = {'i': r'\d+', 'p': 'weight|bias', 'r': '.+'}

# (authors' name, ours); several names of the authors for one of ours are tied parameters
_SWIN_NAMES = (
    ('patch_embed.proj.{p}', 'patch_embed.projection.{p}'),
    ('patch_embed.norm.{p}', 'patch_embed.norm.{p}'),
    ('layers.{i}.blocks.{ii}.norm{iii}.{p}', 'stages.{i}.blocks.{ii}.norm{iii}.{p}'),
    ('layers.{i}.blocks.{ii}.attn.{r}', 'stages.{i}.blocks.{ii}.attn.w_msa.{r}'),
    ('layers.{i}.blocks.{ii}.mlp.fc1.{p}', 'stages.{i}.blocks.{ii}.ffn.layers.0.0.{p}'),
    ('layers.{i}.blocks.{ii}.mlp.fc2.{p}', 'stages.{i}.blocks.{ii}.ffn.layers.1.{p}'),
    ('layers.{i}.downsample.{r}', 'stages.{i}.downsample.{r}'),
    ('norm{i}.{p}', 'norm{i}.{p}'),
)
_FFN_NAMES = (('linear1.{p}', 'ffn.layers.0.0.{p}'), ('linear2.{p}', 'ffn.layers.1.{p}'))
_ENCODER_LAYER_NAMES = (
    *_FFN_NAMES,
    ('self_attn.{r}', 'self_attn.{r}'),
    ('norm1.{p}', 'norms.0.{p}'),
    ('norm2.{p}', 'norms.1.{p}'),
)
_DECODER_LAYER_NAMES = (
    *_FFN_NAMES,
    ('self_attn.{r}', 'self_attn.attn.{r}'),
    ('cross_attn.{r}', 'cross_attn.{r}'),
    # self-attention comes first, with the second norm
    ('norm2.{p}', 'norms.0.{p}'),
    ('norm1.{p}', 'norms.1.{p}'),
    ('norm3.{p}', 'norms.2.{p}'),
)
_PIXEL_DECODER_NAMES = (
    ('input_proj.{i}.0.{p}', 'input_projs.{i}.conv.{p}'),
    ('input_proj.{i}.1.{p}', 'input_projs.{i}.gn.{p}'),
    ('transformer.level_embed', 'level_embed'),
    ('adapter_1.weight', 'lateral_conv.conv.weight'),
    ('adapter_1.norm.{p}', 'lateral_conv.gn.{p}'),
    ('layer_1.weight', 'output_conv.conv.weight'),
    ('layer_1.norm.{p}', 'output_conv.gn.{p}'),
    ('mask_features.{p}', 'mask_feature.{p}'),
)
_DECODER_NAMES = (
    ('enc_output.{p}', 'memory_trans_fc.{p}'),
    ('enc_output_norm.{p}', 'memory_trans_norm.{p}'),
    ('decoder_norm.{p}', 'norm.{p}'),
    ('decoder.norm.{p}', 'norm.{p}'),
    ('decoder.ref_point_head.{r}', 'ref_point_head.{r}'),
    ('_bbox_embed.{r}', 'box_embed.{r}'),
    ('mask_embed.{r}', 'mask_embed.{r}'),
    *(
        (f'{name}.{{p}}',) * 2
        for name in ('class_embed', 'label_enc', 'query_feat', 'query_embed')
    ),
)


def _resnet_names() -> list[tuple[str, str]]:
    names = [('stem.conv1.weight', 'conv1.weight'), ('stem.conv1.norm.{r}', 'bn1.{r}')]
    for stage in (1, 2, 3, 4):
        theirs, ours = f'res{stage + 1}.{{i}}.', f'layer{stage}.{{i}}.'
        names += [
            (f'{theirs}conv{{ii}}.weight', f'{ours}conv{{ii}}.weight'),
            (f'{theirs}conv{{ii}}.norm.{{r}}', f'{ours}bn{{ii}}.{{r}}'),
            (f'{theirs}shortcut.weight', f'{ours}downsample.0.weight'),
            (f'{theirs}shortcut.norm.{{r}}', f'{ours}downsample.1.{{r}}'),
        ]
    return names


@cache
def _templates(num_decoder_layers: int) -> list[tuple[str, str]]:
    """(authors' full name, ours) of all tensors."""
    pixel, decoder = 'sem_seg_head.pixel_decoder.', 'sem_seg_head.predictor.'
    groups = [
        ('backbone.', 'backbone.', _resnet_names()),
        ('backbone.', 'backbone.', _SWIN_NAMES),
        (pixel, PIXEL_DECODER, _PIXEL_DECODER_NAMES),
        (
            f'{pixel}transformer.encoder.layers.{{i}}.',
            f'{PIXEL_DECODER}layers.{{i}}.',
            _ENCODER_LAYER_NAMES,
        ),
        (decoder, DECODER, _DECODER_NAMES),
        (f'{decoder}decoder.layers.{{i}}.', f'{DECODER}layers.{{i}}.', _DECODER_LAYER_NAMES),
    ]
    # the box head is listed for each layer, twice
    for layer in range(num_decoder_layers):
        for theirs in ('bbox_embed', 'decoder.bbox_embed'):
            groups.append((f'{decoder}{theirs}.{layer}.', f'{DECODER}box_embed.', [('{r}',) * 2]))
    return [
        (theirs + their_name, ours + our_name)
        for theirs, ours, names in groups
        for their_name, our_name in names
    ]


@cache
def _pattern(template: str) -> re.Pattern:
    """'conv{i}.{p}' -> a pattern in which the fields are named groups."""
    escaped = re.sub(r'[.]', r'\\.', template)
    return re.compile(re.sub(r'\{(\w+)\}', lambda m: f'(?P<{m[1]}>{_FIELDS[m[1][0]]})', escaped))


def _renamed(key: str, templates: Iterable[tuple[str, str]]) -> list[str]:
    """The new names of a key, for all (old, new) templates that fit."""
    return [
        new.format(**match.groupdict())
        for old, new in templates
        if (match := _pattern(old).fullmatch(key))
    ]


def count_modules(state: Tensors, prefix: str) -> int:
    """Length of the module list that `prefix` ('...layers.') names; 0 if there is none."""
    numbers = [re.match(rf'{re.escape(prefix)}(\d+)\.', key) for key in state]
    return 1 + max((int(match[1]) for match in numbers if match), default=-1)


def import_state_dict(state: Tensors, source: str | Path = 'state dict') -> Tensors:
    """The authors' tensors under our names.

    Parameters that the authors list under several names are kept once.

    Args:
        state: keys `backbone.*` (ResNet or Swin, may be absent), `sem_seg_head.*`.
        source: the file's name, for the error.

    Raises:
        CheckpointError: unknown names, no Mask DINO at all, or tied parameters that differ.
    """
    templates = _templates(count_modules(state, 'sem_seg_head.predictor.decoder.layers.'))
    converted: dict[str, Any] = {}
    unknown: list[str] = []
    for key, tensor in state.items():
        if key in (_EMPTY_WEIGHT, 'pixel_mean', 'pixel_std'):
            continue
        names = _renamed(key, templates)
        if not names:
            unknown.append(key)
            continue
        (name,) = names
        if _PATCH_MERGING.fullmatch(name):
            tensor = reorder_patch_merging(tensor)
        if name in converted and not torch.equal(converted[name], tensor):
            raise CheckpointError(
                f'{source}: {key} differs from its tied copies, so this is not the released '
                'architecture'
            )
        converted[name] = tensor
        if name.endswith('.running_var'):  # frozen norms of detectron2 do not count batches
            counter = name.replace('running_var', 'num_batches_tracked')
            converted.setdefault(counter, torch.tensor(0))
    if unknown or not any(name.startswith(DECODER) for name in converted):
        raise CheckpointError(
            f'{source}: not a Mask DINO checkpoint of the authors: {len(unknown)} of '
            f'{len(state)} tensors have unknown names'
            f'{", e.g. " if unknown else ""}{", ".join(unknown[:4])}'
        )
    return converted


def export_state_dict(state: Tensors, source: str | Path = 'state dict') -> Tensors:
    """Inverse of `import_state_dict`: our tensors under all the authors' names.

    Raises:
        CheckpointError: names that are no Mask DINO's.
    """
    templates = [(b, a) for a, b in _templates(count_modules(state, f'{DECODER}layers.'))]
    converted: dict[str, Any] = {}
    unknown: list[str] = []
    for key, tensor in state.items():
        if key.endswith('.num_batches_tracked'):
            continue
        names = _renamed(key, templates)
        if not names:
            unknown.append(key)
        if _PATCH_MERGING.fullmatch(key):
            tensor = restore_patch_merging(tensor)
        converted.update(dict.fromkeys(names, tensor))
    label_embedding = state.get(f'{DECODER}label_enc.weight')
    if unknown or label_embedding is None:
        raise CheckpointError(
            f'{source}: not a checkpoint of our Mask DINO: {len(unknown)} of {len(state)} tensors '
            f'have unknown names{", e.g. " if unknown else ""}{", ".join(unknown[:4])}'
        )
    weight = torch.ones(len(label_embedding) + 1)
    weight[-1] = NO_OBJECT_WEIGHT
    return converted | {_EMPTY_WEIGHT: weight}
