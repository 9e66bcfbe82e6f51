#!/usr/bin/env python
"""Rewrite a COCO-style annotation file with a mask for every box.

Each annotation gets `segmentation` (compressed RLE), `area` (of the mask) and `mal_quality` in
[0, 1]: how decided the labeler is about the pixels, times how well the mask fills the box to its
four sides. All other fields and keys are kept; order and number of annotations too. What cannot be
labelled is kept, marked `mal_skipped`, and listed at the end.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

EXAMPLES = """examples:
  python tools/generate_pseudo_masks.py configs/mal/vit_mae_base.py \\
      work_dirs/vit_mae_base/epoch_10.pth --img-root data/coco/train2017 \\
      --ann data/coco/annotations/instances_train2017.json \\
      --out data/coco/annotations/instances_train2017_mal.json --report work_dirs/report

exit status: 0 all labelled, 1 refused or failed (nothing written), 3 finished with skipped
annotations
"""


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config', help='config of the labeler')
    parser.add_argument('checkpoint', help='its weights')
    parser.add_argument(
        '--ann',
        required=True,
        type=Path,
        help='COCO-style file with boxes (masks in it are replaced)',
    )
    parser.add_argument('--img-root', required=True, type=Path, help='folder of the images')
    parser.add_argument('--out', required=True, type=Path, help='the file to write')
    parser.add_argument(
        '--network', choices=['teacher', 'student', 'both'], help='default: as the config says'
    )
    parser.add_argument(
        '--flip', action='store_true', default=None, help='average with the mirrored crop'
    )
    parser.add_argument(
        '--refine', action='store_true', default=None, help='refine the masks by mean field'
    )
    parser.add_argument(
        '--mask-threshold', type=float, help='probability above which a pixel belongs to the mask'
    )
    parser.add_argument(
        '--batch-size', type=int, default=32, help='crops in one pass (default: 32)'
    )
    parser.add_argument(
        '--threads', type=int, default=2, help='threads that read images (default: 2)'
    )
    parser.add_argument(
        '--device', help='cuda, cpu, cuda:1 ... (default: the GPU if there is one)'
    )
    parser.add_argument('--no-amp', action='store_true', help='single precision on a GPU')
    parser.add_argument(
        '--report', type=Path, help='also write an HTML page with pictures into this folder'
    )
    return parser.parse_args()


def main() -> int:
    args = parse_args()
    try:
        return run(args)
    except KeyboardInterrupt:
        print(f'\ninterrupted; {args.out} was not written', file=sys.stderr)
        return 130


def check(args: argparse.Namespace) -> None:
    """Refuse now what would fail after hours of labeling."""
    if not args.img_root.is_dir():
        raise OSError(f'--img-root {args.img_root} is no folder')
    if not args.out.parent.is_dir():
        raise OSError(f'--out {args.out}: the folder {args.out.parent} does not exist')
    if args.out.is_dir():
        raise OSError(f'--out {args.out} is a folder; give the name of a file')
    if args.threads < 1:
        raise ValueError(f'--threads must be at least 1, got {args.threads}')


def run(args: argparse.Namespace) -> int:
    # imported late: --help and wrong arguments answer at once
    from tqdm import tqdm

    from mal_mm.apis import MaskLabeler
    from mal_mm.checkpoints.loading import CheckpointError
    from mal_mm.formats.coco import AnnotationError, read_coco, write_coco
    from mal_mm.labeling import label_coco
    from mal_mm.version import __version__

    def refuse(error: Exception) -> int:
        print(f'generate_pseudo_masks: {error}', file=sys.stderr)
        return 1

    try:
        check(args)
        data = read_coco(args.ann)
        labeler = MaskLabeler(
            args.config,
            args.checkpoint,
            device=args.device,
            network=args.network,
            flip=args.flip,
            refine=args.refine,
            mask_threshold=args.mask_threshold,
            batch_size=args.batch_size,
            amp=not args.no_amp,
        )
    except (AnnotationError, CheckpointError, OSError, ValueError) as error:
        return refuse(error)

    start = time.time()
    with tqdm(
        total=len(data['annotations']), unit='box', desc='labeling', smoothing=0.05
    ) as progress:
        try:
            summary = label_coco(
                data,
                args.img_root,
                labeler.engine,
                args.ann,
                on_image=progress.update,
                num_threads=args.threads,
            )
        except AnnotationError as error:
            return refuse(error)
    seconds = time.time() - start
    data['mal_mm'] = dict(
        version=__version__,
        config=str(args.config),
        checkpoint=str(args.checkpoint),
        network=labeler.engine.network,
        flip=labeler.engine.flip,
        refine=labeler.engine.refine,
        mask_threshold=labeler.engine.mask_threshold,
        crop_size=labeler.engine.crop_size,
        skipped=[
            dict(annotation_id=skip.annotation_id, reason=skip.reason) for skip in summary.skips
        ],
    )
    try:
        write_coco(data, args.out)
    except OSError as error:
        return refuse(error)
    print(
        f'wrote {args.out}: {summary.masks} masks in {summary.images} images, '
        f'{summary.masks / seconds:.1f} masks/s; '
        f'{summary.empty} came out empty and hold their box, '
        f'{summary.crowds} crowd regions passed through, {len(summary.skips)} skipped'
    )
    if args.report:
        from mal_mm.visualization.report import write_report

        page = write_report(data, args.img_root, args.report)
        print(f'wrote {page}')
    if summary.skips:
        print(f'skipped {len(summary.skips)} annotations, kept without a mask:', file=sys.stderr)
        for reason, count in summary.reasons().most_common(20):
            print(f'  {count} x {reason}', file=sys.stderr)
        return 3
    return 0


if __name__ == '__main__':
    sys.exit(main())
