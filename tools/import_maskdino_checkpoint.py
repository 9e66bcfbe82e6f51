#!/usr/bin/env python
"""Turn a Mask DINO checkpoint of its authors (detectron2) into one of mal_mm, or back."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch
from mmdet.registry import MODELS
from mmengine.config import Config

import mal_mm  # noqa: F401
from mal_mm.checkpoints.detectron2_file import read_detectron2
from mal_mm.checkpoints.loading import CheckpointError, check_state_dict, read_state_dict
from mal_mm.checkpoints.maskdino import export_state_dict, import_state_dict
from mal_mm.checkpoints.maskdino_config import deduce_model
from mal_mm.formats.atomic import atomic_write
from mal_mm.formats.distinct_files import check_distinct
from mal_mm.models.maskdino.query_selection import BOX_INITS
from mal_mm.tool_errors import report


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="""\
The architecture (ResNet or Swin backbone, levels and their order, widths, classes) is deduced from
the tensors. They do not tell how boxes are initialised nor how many queries are selected, so look
that up in the yaml file of the checkpoint: INITIALIZE_BOX_TYPE, NUM_OBJECT_QUERIES.
Only weights are read; pickled Python objects are refused.

examples:
  %(prog)s maskdino_r50_50ep.pth r50.pth --config-out r50.py
  %(prog)s maskdino_r50_hid2048.pth r50.pth --box-init mask2box --config-out r50.py
  %(prog)s --export work_dirs/r50/epoch_50.pth for_detectron2.pth
""",
    )
    parser.add_argument('checkpoint', type=Path, help='file to read, *.pth or *.pkl')
    parser.add_argument('out', type=Path, help='file to write, *.pth')
    parser.add_argument(
        '--export', action='store_true', help="from ours to the authors' key names"
    )
    parser.add_argument('--config-out', type=Path, help='also write the model config, *.py')
    parser.add_argument(
        '--box-init',
        choices=BOX_INITS,
        help='(default: no for a panoptic model and for learned queries, otherwise bitmask)',
    )
    parser.add_argument(
        '--num-queries',
        type=int,
        default=300,
        help='where queries are not learned (default: %(default)s)',
    )
    parser.add_argument(
        '--num-stuff-classes',
        type=int,
        help='the last classes, without instances (default: 53 of 133; all, if the model has an '
        'output for "no object"; otherwise 0)',
    )
    args = parser.parse_args()
    if args.export and args.config_out:
        parser.error('--config-out: --export writes no config')
    return args


def main() -> int:
    args = parse_args()
    try:
        check_distinct(
            {'CHECKPOINT': args.checkpoint}, {'OUT': args.out, '--config-out': args.config_out}
        )
        export(args) if args.export else convert(args)
    except (Exception, KeyboardInterrupt) as error:
        return report('import_maskdino_checkpoint', error)
    return 0


def convert(args: argparse.Namespace) -> None:
    """Write our checkpoint and its config; nothing unless the tensors fit the deduced model."""
    state = import_state_dict(read_detectron2(args.checkpoint), args.checkpoint)
    model = deduce_model(
        state,
        box_init=args.box_init,
        num_queries=args.num_queries,
        num_stuff_classes=args.num_stuff_classes,
        source=args.checkpoint,
    )
    if args.config_out and 'backbone' not in model:
        raise CheckpointError(f'{args.checkpoint}: has no backbone, so no config fits it')
    check_parts(model, state, args.checkpoint)
    with atomic_write(args.out, 'wb') as file:
        torch.save({'state_dict': state, 'meta': {'source': args.checkpoint.name}}, file)
    print(f'wrote {args.out}: {len(state)} tensors; {describe(model)}')
    if model['panoptic_head']['pixel_decoder']['num_extra_levels'] > 1:
        print(
            "warning: the authors' code mixes up the position maps of several extra levels, ours "
            'does not; fine-tune before use',
            file=sys.stderr,
        )
    if args.config_out:
        config = Config(
            dict(
                custom_imports=dict(imports=['mal_mm'], allow_failed_imports=False),
                default_scope='mmdet',
                model=model,
            )
        )
        with atomic_write(args.config_out) as file:
            file.write(config.pretty_text)
        print(f'wrote {args.config_out}')


def check_parts(model: dict, state: dict[str, torch.Tensor], source: Path) -> None:
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


def describe(model: dict) -> str:
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


def export(args: argparse.Namespace) -> None:
    """Write the authors' checkpoint."""
    state = export_state_dict(read_state_dict(args.checkpoint), args.checkpoint)
    with atomic_write(args.out, 'wb') as file:
        torch.save({'model': state}, file)
    print(f'wrote {args.out}: {len(state)} tensors')


if __name__ == '__main__':
    sys.exit(main())
