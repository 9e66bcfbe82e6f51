"""Average precision of masks drawn from a detector's boxes.

The labeler draws a mask for every box that a detector has found, which keeps its score; boxes and
masks are then compared with human ones as COCO does (AP, AP50, AP75, small, medium, large). Boxes
that cannot be labelled are left out of both and listed.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from .labeling_options import (
    add_drawing_options,
    add_machine_options,
    add_weight_options,
)

EXAMPLES = """examples:
  # the boxes of any detector of MMDetection: COCO results, here work_dirs/dino.bbox.json
  mal-mm test DETECTOR.py DETECTOR.pth \\
      --cfg-options test_evaluator.outfile_prefix=work_dirs/dino
  mal-mm evaluate-detector configs/mal/vit_mae_base.py \\
      work_dirs/vit_mae_base/epoch_10.pth --detections work_dirs/dino.bbox.json \\
      --gt data/coco/annotations/instances_val2017.json --img-root data/coco/val2017 \\
      --out metrics.json --results-out results.segm.json

exit status: 0 all labelled, 1 refused or failed (nothing written), 2 wrong arguments, 3 finished
with boxes that could not be labelled
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Its options."""
    parser.add_argument('config', help='config of the labeler, or mal_mm::NAME for one of ours')
    parser.add_argument('checkpoint', nargs='?', help='its weights; an instant labeler needs none')
    parser.add_argument(
        '--detections',
        required=True,
        type=Path,
        metavar='JSON',
        help='list of image_id, category_id, bbox, score, as results.bbox.json',
    )
    parser.add_argument(
        '--gt', required=True, type=Path, metavar='JSON', help='COCO-style file with human masks'
    )
    parser.add_argument('--img-root', required=True, type=Path, help='folder of the images')
    parser.add_argument('--out', type=Path, metavar='JSON', help='write all numbers to this file')
    parser.add_argument(
        '--results-out',
        type=Path,
        metavar='JSON',
        help='write the masks with their scores to this file, as results.segm.json',
    )
    parser.add_argument('--per-class', action='store_true', help='print a line for each class')
    add_drawing_options(parser)
    add_machine_options(parser)
    add_weight_options(parser)


def interrupted(args: argparse.Namespace) -> str:
    """What to say after Ctrl-C."""
    return 'nothing was written'


def check_files(args: argparse.Namespace) -> None:
    """Refuse now what would fail after hours of labeling."""
    from mal_mm.formats.distinct_files import check_distinct
    from mal_mm.workflow.labeling_checks import check_machine, check_places

    read = {'CONFIG': args.config, 'CHECKPOINT': args.checkpoint}
    read.update({'--detections': args.detections, '--gt': args.gt})
    check_distinct(read, {'--out': args.out, '--results-out': args.results_out})
    check_places(args.img_root, {'--out': args.out, '--results-out': args.results_out})
    check_machine(args)


def run(args: argparse.Namespace) -> int:
    """Label and score; the exit status."""
    from tqdm import tqdm

    from mal_mm.evaluation import coco_ap, format_ap_table
    from mal_mm.formats import read_coco
    from mal_mm.formats.detections import read_detections
    from mal_mm.workflow.labeling_checks import find_weights, read_config

    check_files(args)
    config = read_config(args.config, None)
    find_weights(config, args, args.checkpoint)
    detections, gt = read_detections(args.detections), read_coco(args.gt)
    coco_ap(gt, [], str(args.gt))  # human masks that cannot be used are found before the work
    # torch: from here on it takes seconds
    from mal_mm.evaluation import label_detections
    from mal_mm.workflow.labeling_command import make_labeler

    labeler = make_labeler(args, config, args.checkpoint)
    with tqdm(total=len(detections), unit='box', desc='labeling', smoothing=0.05) as progress:
        labelled, summary = label_detections(
            detections, gt, args.img_root, labeler.engine, args.gt, progress.update, args.threads
        )
    metrics = {
        **coco_ap(gt, labelled, str(args.gt)),
        'counts': {
            'detections': len(detections),
            'labelled': len(labelled),
            'empty_masks': summary.empty,
        },
        'skipped': [
            {'detection': skip.annotation_index, 'reason': skip.reason} for skip in summary.skips
        ],
    }
    if args.results_out:
        # Without bbox: pycocotools would take the sizes from the boxes.
        masks = [{k: v for k, v in result.items() if k != 'bbox'} for result in labelled]
        write(masks, args.results_out)
    if args.out:
        write(metrics, args.out, indent=2)
    print(format_ap_table({kind: metrics[kind] for kind in ('bbox', 'segm')}, args.per_class))
    print(f'{len(labelled)} boxes labelled; {summary.empty} masks came out empty and are the box')
    if summary.skips:
        print(
            f'{len(summary.skips)} boxes could not be labelled and are left out:', file=sys.stderr
        )
        for reason, count in summary.reasons().most_common(20):
            print(f'  {count} x {reason}', file=sys.stderr)
        return 3
    return 0


def write(content: object, path: Path, indent: int | None = None) -> None:
    from mal_mm.formats import atomic_write

    with atomic_write(path) as file:
        json.dump(content, file, indent=indent, allow_nan=False)
        file.write('\n')
