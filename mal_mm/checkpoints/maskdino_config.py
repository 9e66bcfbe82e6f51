"""The config of a Mask DINO, deduced from its tensors (under our names)."""

from __future__ import annotations

import math
from pathlib import Path

from torch import Tensor

from .errors import CheckpointError
from .maskdino import DECODER, PIXEL_DECODER, count_modules

Tensors = dict[str, Tensor]

NUM_POINTS = 4  # of deformable attention; fixed in the authors' code
COCO_PANOPTIC = {133: 53}  # classes: stuff among them
_RESNET_DEPTHS = {(3, 4, 6, 3): 50, (3, 4, 23, 3): 101, (3, 8, 36, 3): 152}


def deduce_model(
    state: Tensors,
    *,
    box_init: str | None = None,
    num_queries: int = 300,
    num_stuff_classes: int | None = None,
    source: str | Path = 'state dict',
) -> dict:
    """The model config that fits the tensors.

    Args:
        state: what `import_state_dict` gives; the backbone may be absent.
        box_init: of the decoder, which the tensors do not tell; None: 'no' with both things and
            stuff, otherwise 'bitmask'. Learned boxes have 'no' in any case.
        num_queries: where they are not learned; otherwise the tensors tell.
        num_stuff_classes: the last classes; None: all classes of a model with an output for "no
            object" (it is a semantic one), 53 of 133 classes (COCO panoptic), otherwise none.
        source: the file's name, for the error.

    Returns:
        Config of MaskDINO; without `backbone` if the file has none.

    Raises:
        CheckpointError: tensors that tell the architecture are missing or of another one, or
            there are not so many classes.
    """
    try:
        classes, outputs = (
            len(state[f'{DECODER}{name}.weight']) for name in ('label_enc', 'class_embed')
        )
        softmax = outputs == classes + 1
        stuff = num_stuff_classes
        if stuff is None:
            stuff = classes if softmax else COCO_PANOPTIC.get(classes, 0)
        things = classes - stuff
        if stuff < 0 or things < 0:
            raise ValueError(f'`num_stuff_classes` must be 0 to {classes}, got {stuff}')
        panoptic = bool(things and stuff)
        box_init = box_init or ('no' if panoptic else 'bitmask')
        head = dict(
            type='MaskDINOHead',
            num_things_classes=things,
            num_stuff_classes=stuff,
            pixel_decoder=_deduce_pixel_decoder(state),
            decoder=_deduce_decoder(state, box_init, num_queries),
        )
        backbone = _deduce_backbone(state)
    except KeyError as error:
        raise CheckpointError(
            f'{source}: a part of the network is missing ({error}); copy or download the file '
            'again'
        ) from error
    except ValueError as error:
        raise CheckpointError(f'{source}: {error}') from error
    if softmax:
        head |= dict(criterion=dict(class_loss='cross_entropy'), stuff_boxes=True)
    return dict(
        type='MaskDINO',
        data_preprocessor=dict(
            type='DetDataPreprocessor',
            mean=[123.675, 116.28, 103.53],
            std=[58.395, 57.12, 57.375],
            bgr_to_rgb=True,
            pad_mask=True,
            pad_seg=stuff > 0,
            pad_size_divisor=32,
        ),
        **({'backbone': backbone} if backbone else {}),
        panoptic_head=head,
        test_cfg=dict(instance_on=things > 0, panoptic_on=panoptic, semantic_on=things == 0),
    )


def _attention(state: Tensors, layer: str, num_levels: int) -> dict:
    """Heads and feed-forward channels of a layer with deformable attention."""
    attention = 'cross_attn' if f'{layer}cross_attn.value_proj.bias' in state else 'self_attn'
    samples = len(state[f'{layer}{attention}.attention_weights.bias'])
    return dict(
        num_heads=samples // (num_levels * NUM_POINTS),
        feedforward_channels=len(state[f'{layer}ffn.layers.0.0.bias']),
    )


def _deduce_pixel_decoder(state: Tensors) -> dict:
    num_levels, channels = state[f'{PIXEL_DECODER}level_embed'].shape
    kernels = [
        state[f'{PIXEL_DECODER}input_projs.{i}.conv.weight'].shape for i in range(num_levels)
    ]
    inputs = [shape[1] for shape in kernels if shape[2] == 1]
    coarse_first = inputs[0] > inputs[-1]
    finest = state[f'{PIXEL_DECODER}lateral_conv.conv.weight'].shape[1]
    in_channels = sorted({finest, *inputs})
    return dict(
        in_channels=in_channels,
        num_backbone_levels=len(inputs),
        num_extra_levels=num_levels - len(inputs),
        feat_channels=channels,
        mask_channels=len(state[f'{PIXEL_DECODER}mask_feature.bias']),
        num_layers=count_modules(state, f'{PIXEL_DECODER}layers.'),
        **_attention(state, f'{PIXEL_DECODER}layers.0.', num_levels),
        feature_order='high2low' if coarse_first else 'low2high',
    )


def _deduce_decoder(state: Tensors, box_init: str, num_queries: int) -> dict:
    num_levels = len(state[f'{PIXEL_DECODER}level_embed'])
    two_stage = f'{DECODER}memory_trans_fc.weight' in state
    learned = state.get(f'{DECODER}query_feat.weight')
    return dict(
        num_queries=num_queries if learned is None else len(learned),
        num_layers=count_modules(state, f'{DECODER}layers.'),
        embed_dims=len(state[f'{DECODER}norm.bias']),
        mask_channels=len(state[f'{DECODER}mask_embed.layers.2.bias']),
        **_attention(state, f'{DECODER}layers.0.', num_levels),
        two_stage=two_stage,
        box_init=box_init if two_stage else 'no',
        learn_content=two_stage and learned is not None,
    )


def _deduce_backbone(state: Tensors) -> dict | None:
    if 'backbone.conv1.weight' in state:
        blocks = tuple(count_modules(state, f'backbone.layer{i}.') for i in (1, 2, 3, 4))
        if blocks not in _RESNET_DEPTHS:
            raise ValueError(f'the backbone is no ResNet with bottlenecks: {blocks} blocks')
        return dict(
            type='ResNet',
            depth=_RESNET_DEPTHS[blocks],
            num_stages=4,
            out_indices=(0, 1, 2, 3),
            frozen_stages=-1,
            norm_cfg=dict(type='BN', requires_grad=False),
            norm_eval=True,
            style='pytorch',
        )
    if 'backbone.patch_embed.projection.weight' in state:
        stages = [f'backbone.stages.{i}.blocks.' for i in range(4)]
        tables = [state[f'{s}0.attn.w_msa.relative_position_bias_table'] for s in stages]
        return dict(
            type='SwinTransformer',
            embed_dims=len(state['backbone.patch_embed.projection.weight']),
            depths=tuple(count_modules(state, stage) for stage in stages),
            num_heads=tuple(table.shape[1] for table in tables),
            window_size=(math.isqrt(len(tables[0])) + 1) // 2,
            out_indices=(0, 1, 2, 3),
            drop_path_rate=0.3,
        )
    return None
