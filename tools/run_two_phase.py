#!/usr/bin/env python
"""From boxes to a trained segmenter, and its retention rate, in one command.

Phase 1 learns to draw masks from the boxes of --ann, labels them, phase 2 trains a segmenter on
the masks, and where there are human masks to judge by, evaluates it. Everything is in WORK_DIR:
index.html and summary.json (the outcome), labeler.py and segmenter.py (the configs, put on your
data), logs/, pseudo_masks.json, report/, and the folders of the trainings.

After a kill, a crash or Ctrl-C, the same command goes on where it was.
"""

from __future__ import annotations

import argparse
import importlib.util
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

TOOLS = Path(__file__).resolve().parent
EXAMPLES = """examples:
  python tools/run_two_phase.py --ann data/mine/train.json --img-root data/mine/images \\
      --labeler configs/mal/vit_mae_base.py --gpus 8 \\
      --segmenter configs/phase2/solov2_r50_fpn_3x_coco_mal.py
  with AP on human masks, and the retention rate against a twin trained on human masks:
  python tools/run_two_phase.py ... --val-ann val.json --val-img-root data/mine/images \\
      --gt-ann train_human.json
  with a labeler that is trained already, and options for labeling (they come last):
  python tools/run_two_phase.py ... --labeler-checkpoint labeler.pth --label-options --flip
  what would be done:
  python tools/run_two_phase.py ... --dry-run

exit status: 0 done (also if some boxes could not be labelled, which the summary says), 2 refused,
130 interrupted, otherwise that of the step that failed
"""


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    from mmengine.config import DictAction

    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
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
            action=DictAction,
            default={},
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
    return parser.parse_args(argv)


def check_label_options(words: Sequence[str]) -> None:
    """End with the usage of generate_pseudo_masks.py if it would not understand them.

    Raises:
        ValueError: one of them is not up to the user.
    """
    path = TOOLS / 'generate_pseudo_masks.py'
    spec = importlib.util.spec_from_file_location(path.stem, path)
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    needed = ['CONFIG', 'CHECKPOINT', '--ann', 'A', '--img-root', 'D', '--out', 'O']
    argv, sys.argv = sys.argv, [str(path), *needed, *words]
    try:
        args = tool.parse_args()
    finally:
        sys.argv = argv
    given = {'--ann': args.ann != Path('A'), '--img-root': args.img_root != Path('D')}
    given.update({'--out': args.out != Path('O'), '--summary': args.summary})
    given.update({'--report': args.report, '--resume': args.resume, '--dry-run': args.dry_run})
    given.update({'--overwrite-ann': args.overwrite_ann})
    given.update({'--boxes': args.boxes, '--launcher': args.launcher != 'none'})
    for option, value in given.items():
        if value:
            raise ValueError(f'--label-options must not hold {option}; a run sets that itself')


def main(argv: Sequence[str] | None = None) -> int:
    """Run; see the exit status in the help."""
    args = vars(parse_args(argv))
    restart, dry_run = args.pop('restart'), args.pop('dry_run')
    from mal_mm.tool_errors import report
    from mal_mm.two_phase import Options, TwoPhaseRun

    try:
        args['label_options'] = tuple(args['label_options'])
        check_label_options(args['label_options'])
        run = TwoPhaseRun(Options(**args), TOOLS)
        if dry_run:
            print(run.describe())
            return 0
        # stops a step as Ctrl-C does
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        return run.run(restart)
    except (Exception, KeyboardInterrupt) as error:
        return report('run_two_phase', error, 2, interrupted='the same command goes on')


if __name__ == '__main__':
    sys.exit(main())
