"""Plot the losses and scores of one or several training runs, resumed or not.

Reads WORK_DIR/*/vis_data/scalars.json, which every run writes.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

EPILOG = """examples:
  python tools/analysis/plot_training.py work_dirs/vit_mae_base
  python tools/analysis/plot_training.py work_dirs/theta_0.6 work_dirs/theta_1.2 \\
      --keys loss_mil box_fill lr --out theta.png

exit status: 0 done, 1 refused (the reason is on stderr), 2 wrong arguments
"""


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
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
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Plot; see the exit status in the help."""
    args = parse_args(argv)
    # imported late: --help and wrong arguments answer at once
    from mal_mm.tool_errors import report
    from mal_mm.visualization.figures import save_figure
    from mal_mm.visualization.training_curves import plot_runs, read_curves

    out = args.out or Path(args.work_dirs[0], 'training.png')
    try:
        runs = {work_dir: read_curves(work_dir) for work_dir in args.work_dirs}
        save_figure(plot_runs(runs, args.keys), out)
    except (Exception, KeyboardInterrupt) as error:
        return report('error', error)
    print(out)
    return 0


if __name__ == '__main__':
    sys.exit(main())
