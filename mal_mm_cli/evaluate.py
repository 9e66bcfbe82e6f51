"""Compare pseudo-masks with human masks, instance by instance."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

EXAMPLES = """\
Annotations are matched by id; both files are COCO-style JSON (.json or .json.gz), with polygons
or RLE. One without a predicted mask counts as IoU 0. small, medium and large are bins of the box
area in image pixels: below 32^2, below 96^2, and above. The rows `box fill` and `inscribed
ellipse` say what the box alone would give. Boundary IoU (arXiv 2103.16562) compares only the
pixels within 2 % of the image's diagonal from the masks' outlines. Of a GT.json that people have
corrected in part (`mal_human`), a labeler's masks are left out.

examples:
  mal-mm evaluate pseudo_masks.json instances_val2017.json
  mal-mm evaluate pseudo_masks.json gt.json --out metrics.json --per-class

exit status: 0 done, 1 a file was refused (the reason is on stderr), 2 wrong arguments
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Its options."""
    parser.add_argument('pred', metavar='PRED.json', type=Path, help='file with pseudo-masks')
    parser.add_argument('gt', metavar='GT.json', type=Path, help='file with human masks')
    parser.add_argument('--out', type=Path, metavar='JSON', help='write all numbers to this file')
    parser.add_argument('--per-class', action='store_true', help='print a line for each class')


def run(args: argparse.Namespace) -> int:
    """Do what the command line says.

    Raises:
        AnnotationError: a file cannot be used, or there is nothing to compare.
        OSError: the output cannot be written.
    """
    from mal_mm.evaluation import evaluate, format_class_table, format_summary
    from mal_mm.formats import AnnotationError, atomic_write
    from mal_mm.formats.distinct_files import check_distinct
    from mal_mm.formats.videos import read_annotations

    check_distinct({'PRED': args.pred, 'GT': args.gt}, {'--out': args.out})
    if args.out and not args.out.parent.is_dir():  # before the long work, not after it
        raise FileNotFoundError(f'folder {args.out.parent} does not exist; create it first')
    pred, gt = read_annotations(args.pred), read_annotations(args.gt)
    result = evaluate(pred, gt, pred_name=str(args.pred), gt_name=str(args.gt), progress=True)
    if not result['counts']['evaluated']:
        raise AnnotationError(_nothing_to_compare(result, args.gt))
    if args.out:
        with atomic_write(args.out) as file:
            json.dump(result, file, indent=2, ensure_ascii=False, allow_nan=False)
            file.write('\n')
    print(format_summary(result))
    if args.per_class:
        print(f'\n{format_class_table(result)}')
    if args.out:
        print(f'all numbers: {args.out}')
    return 0


def _nothing_to_compare(result: dict, gt_path: Path) -> str:
    if not result['left_out']:
        return f'{gt_path}: has no annotations, there is nothing to compare with'
    first = result['left_out'][0]
    return (
        f'{gt_path}: none of its {result["counts"]["ground_truth"]} annotations has a mask to '
        f'compare with; the first, annotation {first["annotation_id"]!r}: {first["reason"]}'
    )
