"""Turn a Mask DINO checkpoint of its authors (detectron2) into one of mal_mm, or back."""

from __future__ import annotations

import argparse
from pathlib import Path

EXAMPLES = """The architecture (ResNet or Swin backbone, levels and their order, widths, classes)
is deduced from the tensors. They do not tell how boxes are initialised nor how many queries are
selected, so look that up in the yaml file of the checkpoint: INITIALIZE_BOX_TYPE,
NUM_OBJECT_QUERIES.
Only weights are read; pickled Python objects are refused.

examples:
  mal-mm import maskdino maskdino_r50_50ep.pth r50.pth --config-out r50.py
  mal-mm import maskdino maskdino_r50_hid2048.pth r50.pth --box-init mask2box --config-out r50.py
  mal-mm import maskdino --export work_dirs/r50/epoch_50.pth for_detectron2.pth

exit status: 0 written, 1 refused (the reason is on stderr), 2 wrong arguments
"""
# ways to start a box; a test compares them with those of the model
BOX_INITS = ('no', 'bitmask', 'mask2box')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Its options."""
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


def check(args: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    """Refuse what does not go together."""
    if args.export and args.config_out:
        parser.error('--config-out: --export writes no config')


def run(args: argparse.Namespace) -> int:
    """Convert; the exit status."""
    from mal_mm.checkpoints.errors import refuse_missing
    from mal_mm.formats.distinct_files import check_distinct

    check_distinct(
        {'CHECKPOINT': args.checkpoint}, {'OUT': args.out, '--config-out': args.config_out}
    )
    refuse_missing(args.checkpoint)
    # torch: from here on it takes seconds
    from mal_mm.checkpoints.maskdino_import import export_checkpoint, import_checkpoint

    if args.export:
        export_checkpoint(args.checkpoint, args.out)
        return 0
    import_checkpoint(
        args.checkpoint,
        args.out,
        args.config_out,
        args.box_init,
        args.num_queries,
        args.num_stuff_classes,
    )
    return 0
