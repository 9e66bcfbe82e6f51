"""Plot the losses and scores of one or several training runs, resumed or not.

Reads WORK_DIR/*/vis_data/scalars.json, which every run writes.
"""

from __future__ import annotations

import argparse
from pathlib import Path

EXAMPLES = """examples:
  mal-mm plot work_dirs/vit_mae_base
  mal-mm plot work_dirs/theta_0.6 work_dirs/theta_1.2 \\
      --keys loss_mil box_fill lr --out theta.png

exit status: 0 done, 1 refused (the reason is on stderr), 2 wrong arguments
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Its options."""
    parser.add_argument('work_dirs', nargs='+', metavar='WORK_DIR')
    parser.add_argument(
        '--keys',
        nargs='+',
        metavar='KEY',
        help='what to plot (default: those of loss_mil loss_crf box_fill mal/mIoU that there are)',
    )
    parser.add_argument(
        '--out', type=Path, metavar='PNG', help='default: training.png in the first WORK_DIR'
    )


def run(args: argparse.Namespace) -> int:
    """Plot; the exit status."""
    from mal_mm.evaluation.run_log import read_curves

    out = args.out or Path(args.work_dirs[0], 'training.png')
    runs = {work_dir: read_curves(work_dir) for work_dir in args.work_dirs}
    from mal_mm.visualization.figures import save_figure
    from mal_mm.visualization.training_curves import plot_runs

    save_figure(plot_runs(runs, args.keys), out)
    print(out)
    return 0
