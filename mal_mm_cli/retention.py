"""Retention rate: what a segmenter keeps of its AP when pseudo-masks replace human ones.

Prints AP, AP50, AP75, APs, APm, APl (for LVIS also APr, APc, APf) of a run with human masks (GT),
of one with MAL's, and MAL / GT, in %; masks (segm), and boxes (bbox) where both have them.

A run is a work dir (its last validation, or where there is none its newest test), a scalars.json
or other log of JSON lines, the JSON of a test, or COCO results (*.segm.json, with --gt-ann).
Runs of Detectron2 (their folder, metrics.json, coco_instances_results.json) and of Ultralytics
(their folder, results.csv, predictions.json) are read too, see docs/retention.md.
"""

from __future__ import annotations

import argparse
from pathlib import Path

EXAMPLES = """examples:
  mal-mm retention work_dirs/mask2former_swin-s_lsj-50e_coco_gt \\
      work_dirs/mask2former_swin-s_lsj-50e_coco_mal --paper mask2former_swin-s_lsj-50e_coco
  mal-mm retention work_dirs/gt work_dirs/mal "box fill=work_dirs/box_fill" \\
      BoxInst=work_dirs/boxinst --best --csv retention.csv --plot retention.png
  mal-mm retention gt.segm.json mal.segm.json \\
      --gt-ann data/coco/annotations/instances_val2017.json

exit status: 0 done, 1 refused (the reason is on stderr), 2 wrong arguments
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Its options."""
    parser.add_argument('gt', metavar='GT_RUN', help='run on human masks')
    parser.add_argument('mal', metavar='MAL_RUN', help='run on masks of the labeler')
    parser.add_argument('others', metavar='NAME=RUN', nargs='*', help='more runs to compare')
    parser.add_argument(
        '--best',
        action='store_true',
        help='of each run the validation of the highest mask AP, not the last',
    )
    parser.add_argument(
        '--gt-ann', type=Path, metavar='JSON', help='human masks that COCO results are scored with'
    )
    parser.add_argument(
        '--paper',
        metavar='ROW',
        help="add the paper's figures of this row: a config of configs/phase2, without _mal.py",
    )
    parser.add_argument('--csv', type=Path, metavar='FILE', help='write the numbers here')
    parser.add_argument('--plot', type=Path, metavar='FILE.png', help='draw them as bars')


def check(args: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    """Names of runs, and the kind of picture."""
    for other in args.others:
        name, separator, run = other.partition('=')
        if not (name and separator and run) or name in ('GT', 'MAL'):
            parser.error(f'{other!r}: a further run is NAME=RUN, NAME neither GT nor MAL')
    if args.plot is not None and args.plot.suffix != '.png':
        parser.error(f'--plot must end in .png, got {args.plot}')


def run(args: argparse.Namespace) -> int:
    """Do what the command line says.

    Raises:
        ValueError: a run cannot be used, or not be compared.
        OSError: an output cannot be written.
    """
    from mal_mm.evaluation.retention import (
        compare,
        format_markdown,
        read_evaluation,
        write_csv,
    )
    from mal_mm.formats import atomic_write
    from mal_mm.formats.distinct_files import check_distinct
    from mal_mm.reproduce.tables import find_row, paper_lines

    read = {'GT_RUN': args.gt, 'MAL_RUN': args.mal, '--gt-ann': args.gt_ann}
    check_distinct(read, {'--csv': args.csv, '--plot': args.plot})
    row = find_row(args.paper) if args.paper else None
    paths = {'GT': args.gt, 'MAL': args.mal, **dict(each.split('=', 1) for each in args.others)}
    runs = {name: read_evaluation(path, args.best, args.gt_ann) for name, path in paths.items()}
    lines = compare(runs)
    shown = [*lines, *(paper_lines(row.name) if row else ())]
    print(format_markdown(shown), end='\n\n')
    for name, evaluation in runs.items():
        print(f'- {name}: {evaluation.source} ({evaluation.benchmark})')
    if args.csv:
        with atomic_write(args.csv) as file:
            write_csv(shown, file)
    if args.plot:
        from mal_mm.visualization.figures import save_figure
        from mal_mm.visualization.retention_chart import plot_retention

        save_figure(plot_retention(lines), args.plot, dpi=150)
    return 0
