"""Where the seconds of a whole job go, stage by stage, and how far from its limit each stage is.

    python benchmarks/profile_job.py --job train                 # a step at 512 px; a small set
    python benchmarks/profile_job.py --job label --boxes 1000    # instant; all but the network
    python benchmarks/profile_job.py --job quickstart --weights ~/.cache/mal_mm/dinov2_small.pth
    python benchmarks/profile_job.py --markdown                  # all, for docs/performance.md

`work` is floating point operations of matrix products, convolutions and attention, or bytes of the
stages that only move memory; `limit` is what torch.mm (in the precision of the stage) or a copy
reach in the same run on the same threads. Without --weights the encoder is random, which costs the
same; the quick start then learns nothing, and keeps what it keeps.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path

import common  # first: it sets the threads, which libraries read when they are loaded
import torch
from mmdet.registry import MODELS
from mmengine.config import Config
from profile_parts import Limits, Table, labeling, quickstart, training
from profile_parts.limits import measure_limits
from training_step import quiet

from mal_mm.compat.config_bases import config_path

JOBS = ('train', 'label', 'quickstart')


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = common.make_parser(__doc__)
    parser.add_argument(
        '--job', nargs='+', choices=JOBS, default=list(JOBS), help='(default: all)'
    )
    parser.add_argument('--boxes', type=int, default=1000, help='to label (default: 1000)')
    parser.add_argument('--weights', type=Path, metavar='FILE', help='of DINOv2 ViT-S/14')
    parser.add_argument(
        '--precision',
        nargs='+',
        choices=['fp32', 'bf16'],
        default=['fp32'],
        help='of the training steps, as the config does it (default: fp32)',
    )
    parser.add_argument('--markdown', action='store_true', help='tables for a page')
    parser.add_argument(
        '--tiny', action='store_true', help='tiny networks: whether the script works'
    )
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    common.set_clock(args.clock)
    quiet()
    limits = measure_limits(*((128, 1) if args.tiny else ()))
    print(f'{common.machine()}\n{limits}', flush=True)
    for table in tables(args):
        print(f'\n{render(table, limits, args.markdown)}', flush=True)


def tables(args: argparse.Namespace) -> Iterator[Table]:
    """The tables of the jobs that were asked for, one after the other."""
    if 'train' in args.job:
        for precision in args.precision:
            yield from training.steps(args.tiny, precision)
        yield from training.epochs(args.tiny, args.weights)
    if 'label' in args.job:
        yield labeling.instant(args.boxes, args.tiny, args.weights)
        yield labeling.host(args.boxes, args.tiny)
    if 'quickstart' in args.job and not args.tiny:
        with tempfile.TemporaryDirectory() as name:
            work = Path(name)
            weights = args.weights or random_weights(work / 'random.pth')
            yield quickstart.quickstart(work, weights.expanduser().resolve())


def random_weights(path: Path) -> Path:
    """A file in place of DINOv2's."""
    cfg = Config.fromfile(config_path('mal/instant_dinov2_small.py')).model.encoder
    torch.save({'state_dict': MODELS.build({**cfg, 'init_cfg': None}).state_dict()}, path)
    return path


def render(table: Table, limits: Limits, markdown: bool) -> str:
    """The table as text or as Markdown."""
    rows = table.rows(limits)
    if markdown:
        lines = [f'| {" | ".join(cells)} |' for cells in rows]
        lines.insert(1, f'|{"---|" * len(rows[0])}')
        return '\n'.join([f'{table.title}:', '', *lines])
    widths = [max(len(cells[column]) for cells in rows) for column in range(len(rows[0]))]
    lines = [
        '  '.join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ).rstrip()
        for cells in rows
    ]
    return '\n'.join([table.title, *lines])


if __name__ == '__main__':
    main()
