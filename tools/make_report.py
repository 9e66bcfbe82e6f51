"""Write an HTML page that shows a labeled annotation file: masks, crops, quality, tables.

The page and its pictures go to OUT and need nothing else: copy the folder or open
OUT/index.html from the disk. With --gt it also compares each mask with the human one.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from mal_mm.tool_errors import report

from mal_mm.formats.distinct_files import check_distinct
from mal_mm.visualization import write_report

EXAMPLES = """examples:
  python tools/make_report.py pseudo_masks.json --img-root data/coco/train2017 --out report
  python tools/make_report.py pseudo_masks.json --img-root data --out report --gt human.json
  python tools/make_report.py pseudo_masks.json --img-root data --out report --gt human.json \\
      --metrics metrics.json --title "Nuclei, unseen tiles" --max-images 50
"""


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('pred', metavar='PRED.json', type=Path, help='labeled COCO file')
    parser.add_argument(
        '--img-root', type=Path, required=True, help='folder that file names are relative to'
    )
    parser.add_argument(
        '--out', type=Path, required=True, help='folder for the page; an older report is replaced'
    )
    parser.add_argument('--gt', type=Path, help='COCO file with human masks, same annotation ids')
    parser.add_argument(
        '--metrics',
        type=Path,
        help='what tools/evaluate_pseudo_masks.py wrote; computed from --gt when left out',
    )
    parser.add_argument('--title', default='Pseudo-mask review', help='headline of the page')
    parser.add_argument(
        '--max-images', type=int, default=24, help='images to show (default: %(default)s)'
    )
    parser.add_argument(
        '--max-instances',
        type=int,
        default=60,
        help='crops to show, half of them the lowest in quality (default: %(default)s)',
    )
    parser.add_argument(
        '--seed', type=int, default=0, help='of the random picks (default: %(default)s)'
    )
    return parser.parse_args()


def main() -> int:
    args = parse_args()
    try:
        read = {'PRED': args.pred, '--gt': args.gt, '--metrics': args.metrics}
        check_distinct({**read, '--img-root': args.img_root}, {'--out': args.out})
        page = write_report(
            args.pred,
            args.img_root,
            args.out,
            gt=args.gt,
            metrics=args.metrics,
            title=args.title,
            max_images=args.max_images,
            max_instances=args.max_instances,
            seed=args.seed,
        )
    except (Exception, KeyboardInterrupt) as error:
        return report('error', error)
    print(page)
    return 0


if __name__ == '__main__':
    sys.exit(main())
