"""A released Mask DINO checkpoint becomes one of ours, with its config, or the other way round."""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from mmdet.registry import MODELS
from mmengine.config import Config

from ..formats.atomic import atomic_write
from .detectron2_file import read_detectron2
from .errors import CheckpointError
from .loading import check_state_dict, read_state_dict
from .maskdino import export_state_dict, import_state_dict
from .maskdino_config import deduce_model


def import_checkpoint(
    source: Path,
    out: Path,
    config_out: Path | None = None,
    box_init: str | None = None,
    num_queries: int = 300,
    num_stuff_classes: int | None = None,
) -> None:
    """Write our checkpoint and its config; nothing unless the tensors fit the deduced model.

    Args:
        source: the authors' file.
        out: ours.
        config_out: of the config that fits it.
        box_init, num_queries, num_stuff_classes: see `deduce_model`.

    Raises:
        CheckpointError: the file cannot be used.
    """
    state = import_state_dict(read_detectron2(source), source)
    model = deduce_model(
        state,
        box_init=box_init,
        num_queries=num_queries,
        num_stuff_classes=num_stuff_classes,
        source=source,
    )
    if config_out and 'backbone' not in model:
        raise CheckpointError(f'{source}: has no backbone, so no config fits it')
    _check_parts(model, state, source)
    with atomic_write(out, 'wb') as file:
        torch.save({'state_dict': state, 'meta': {'source': source.name}}, file)
    print(f'wrote {out}: {len(state)} tensors; {_describe(model)}')
    if model['panoptic_head']['pixel_decoder']['num_extra_levels'] > 1:
        print(
            "warning: the authors' code mixes up the position maps of several extra levels, ours "
            'does not; fine-tune before use',
            file=sys.stderr,
        )
    if config_out:
        config = Config(
            dict(
                custom_imports=dict(imports=['mal_mm'], allow_failed_imports=False),
                default_scope='mmdet',
                model=model,
            )
        )
        with atomic_write(config_out) as file:
            file.write(config.pretty_text)
        print(f'wrote {config_out}')


def _check_parts(model: dict, state: dict[str, torch.Tensor], source: Path) -> None:
    """Raise unless backbone and head have just these tensors."""
    for name in ('backbone', 'panoptic_head'):
        if name in model:
            inside = {
                key.removeprefix(f'{name}.'): tensor
                for key, tensor in state.items()
                if key.startswith(f'{name}.')
            }
            check_state_dict(
                MODELS.build(model[name]), inside, source, 'only released variants are known'
            )


def _describe(model: dict) -> str:
    """The variant in a line."""
    backbone = model.get('backbone', {'type': 'no backbone'})
    pixel_decoder = model['panoptic_head']['pixel_decoder']
    decoder = model['panoptic_head']['decoder']
    levels = pixel_decoder['num_backbone_levels'] + pixel_decoder['num_extra_levels']
    parts = [
        f'{backbone["type"]}{backbone.get("depth", "")}',
        f'{levels} levels ({pixel_decoder["num_extra_levels"]} extra)',
        f'feature_order {pixel_decoder["feature_order"]}',
        f'encoder feedforward_channels {pixel_decoder["feedforward_channels"]}',
        f'{model["panoptic_head"]["num_things_classes"]} things',
        f'{model["panoptic_head"]["num_stuff_classes"]} stuff',
        f'{decoder["num_queries"]} queries',
        f'box_init {decoder["box_init"]}',
    ]
    return ', '.join(parts)


def export_checkpoint(source: Path, out: Path) -> None:
    """Write the authors' checkpoint of ours.

    Raises:
        CheckpointError: the file cannot be used.
    """
    state = export_state_dict(read_state_dict(source), source)
    with atomic_write(out, 'wb') as file:
        torch.save({'model': state}, file)
    print(f'wrote {out}: {len(state)} tensors')
