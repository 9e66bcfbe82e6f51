"""From boxes to a trained segmenter, and its retention rate, in one command.

Phase 1 learns to draw masks from the boxes of --ann, labels them, phase 2 trains a segmenter on
the masks, and where there are human masks to judge by, evaluates it. Everything is in WORK_DIR:
index.html and summary.json (the outcome), labeler.py and segmenter.py (the configs, put on your
data), logs/, pseudo_masks.json, report/, and the folders of the trainings.

After a kill, a crash or Ctrl-C, the same command goes on where it was.
"""

from __future__ import annotations

import argparse
import signal
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

from . import generate, tools_folder
from .door import parse

ERROR_STATUS = 2  # 1 may be that of the step that failed
EXAMPLES = """examples:
  mal-mm two-phase --ann data/mine/train.json --img-root data/mine/images \\
      --labeler configs/mal/vit_mae_base.py --gpus 8 \\
      --segmenter configs/phase2/solov2_r50_fpn_3x_coco_mal.py
  with AP on human masks, and the retention rate against a twin trained on human masks:
  mal-mm two-phase ... --val-ann val.json --val-img-root data/mine/images \\
      --gt-ann train_human.json
  with a labeler that is trained already, and options for labeling (they come last):
  mal-mm two-phase ... --labeler-checkpoint labeler.pth --label-options --flip
  what would be done:
  mal-mm two-phase ... --dry-run

exit status: 0 done (also if some boxes could not be labelled, which the summary says), 2 refused,
130 interrupted, otherwise that of the step that failed
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Its options."""
    data = parser.add_argument_group('data (COCO-style files)')
    data.add_argument('--ann', type=Path, required=True, help='boxes to learn from')
    data.add_argument('--img-root', type=Path, required=True, help='folder of their images')
    data.add_argument(
        '--val-ann', type=Path, help='human masks to evaluate on (default: no evaluation)'
    )
    data.add_argument('--val-img-root', type=Path, help='folder of their images')
    data.add_argument(
        '--gt-ann',
        type=Path,
        help='human masks of the training images: the segmenter is also trained on them, which '
        'gives the retention rate',
    )
    recipes = parser.add_argument_group('recipes')
    recipes.add_argument('--labeler', required=True, help='config of phase 1')
    recipes.add_argument('--segmenter', required=True, help='config of phase 2')
    recipes.add_argument(
        '--labeler-checkpoint', type=Path, help='a trained labeler: phase 1 is left out'
    )
    for name in ('labeler', 'segmenter'):
        recipes.add_argument(
            f'--{name}-options',
            nargs='+',
            metavar='KEY=VALUE',
            help=f'override settings of the {name}, as --cfg-options of tools/train.py',
        )
    recipes.add_argument(
        '--label-options',
        nargs=argparse.REMAINDER,
        default=[],
        metavar='...',
        help='all that follows goes to tools/generate_pseudo_masks.py, such as --flip',
    )
    run = parser.add_argument_group('run')
    run.add_argument('--gpus', type=int, default=1, help='of this machine (default: 1 or the CPU)')
    run.add_argument(
        '--work-dir',
        type=Path,
        default=Path('work_dirs', 'two_phase'),
        help='folder of the run (default: %(default)s)',
    )
    run.add_argument(
        '--restart',
        nargs='?',
        const='all',
        choices=['all', 'changed'],
        help='throw away what an earlier run in WORK_DIR has done: all of it (default), or the '
        'steps that changed arguments concern',
    )
    run.add_argument(
        '--dry-run', action='store_true', help='check everything, print the commands and end'
    )


def check_label_options(words: Sequence[str]) -> None:
    """End with the usage of `mal-mm generate` if it would not understand them.

    Raises:
        ValueError: one of them is not up to the user.
    """
    needed = ['CONFIG', 'CHECKPOINT', '--ann', 'A', '--img-root', 'D', '--out', 'O']
    args = parse(generate, [*needed, *words], 'mal-mm generate')
    given = {'--ann': args.ann != Path('A'), '--img-root': args.img_root != Path('D')}
    given.update({'--out': args.out != Path('O'), '--summary': args.summary})
    given.update({'--report': args.report, '--resume': args.resume, '--dry-run': args.dry_run})
    given.update({'--overwrite-ann': args.overwrite_ann})
    given.update({'--boxes': args.boxes, '--launcher': args.launcher != 'none'})
    for option, value in given.items():
        if value:
            raise ValueError(f'--label-options must not hold {option}; a run sets that itself')


def interrupted(args: argparse.Namespace) -> str:
    """What to say after Ctrl-C."""
    return 'the same command goes on'


def run(args: argparse.Namespace) -> int:
    """Run; the exit status."""
    check_label_options(args.label_options)
    from mal_mm.compat.config_options import parse_options
    from mal_mm.workflow import Options, TwoPhaseRun

    given = {each.name: getattr(args, each.name) for each in fields(Options)}
    given['label_options'] = tuple(args.label_options)
    for name in ('labeler_options', 'segmenter_options'):
        given[name] = parse_options(given[name])
    two_phase = TwoPhaseRun(Options(**given), tools_folder())
    if args.dry_run:
        print(two_phase.describe())
        return 0
    # stops a step as Ctrl-C does
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    return two_phase.run(args.restart)
