"""Write the review page of a labeled annotation file: every mask, to review and mark.

The folder OUT works from the disk (open OUT/index.html) and without a network. Filter, sort,
search, zoom; accept and reject by keyboard or touch; export the marks, which `label --redo` and
`label --reject` read. With --gt each mask is compared with the human one.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

NO_PICTURE = 3
EXAMPLES = """\
The page points to the photos where they lie: OUT and the image folder have to stay where they
are, seen from each other. A page that is to be moved or sent takes copies along: --images copy,
or --images small (at most 640 pixels).

examples:
  python tools/make_report.py masks.json --img-root data/coco/train2017 --out report
  python tools/make_report.py masks.json --img-root data --out report --gt human.json
  python tools/make_report.py masks.json --img-root data --out report --images small \\
      --title "Nuclei, unseen tiles"

exit status: 0 done, 1 refused (the reason is on stderr), 2 wrong arguments, 3 the page is
written, but there is not a single picture on it
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Its options."""
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
        '--images',
        choices=['link', 'copy', 'small'],
        default='link',
        help='photos: link to where they lie (default), copy, or copy small ones',
    )


def run(args: argparse.Namespace) -> int:
    """Write the page; the exit status."""
    from mal_mm.formats.distinct_files import check_distinct
    from mal_mm.visualization import write_report

    read = {'PRED': args.pred, '--gt': args.gt, '--metrics': args.metrics}
    check_distinct({**read, '--img-root': args.img_root}, {'--out': args.out})
    page = write_report(
        args.pred,
        args.img_root,
        args.out,
        gt=args.gt,
        metrics=args.metrics,
        title=args.title,
        images=args.images,
    )
    print(page.path)
    if page.photos:
        return 0
    print(page.why_empty(args.img_root), file=sys.stderr)
    return NO_PICTURE
