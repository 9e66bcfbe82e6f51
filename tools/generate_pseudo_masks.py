#!/usr/bin/env python
"""Rewrite a COCO-style annotation file with a mask for every box.

Each annotation gets `segmentation` (compressed RLE), `area` (of the mask) and `mal_quality` in
[0, 1], an estimate of how good the mask is. All other fields and keys are kept; order and number
of annotations too. What cannot be labelled is kept, marked `mal_skipped`, and listed at the end.

Results are saved as they come, in OUT.parts/. After a kill, a crash or Ctrl-C call the same with
--resume: the finished file is the same as without the interruption, byte for byte, and the same
for any number of GPUs.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import time
from pathlib import Path

EXAMPLES = """examples:
  python tools/generate_pseudo_masks.py configs/mal/vit_mae_base.py \\
      work_dirs/vit_mae_base/epoch_10.pth --img-root data/coco/train2017 \\
      --ann data/coco/annotations/instances_train2017.json \\
      --out data/coco/annotations/instances_train2017_mal.json --report work_dirs/report
  the same on 8 GPUs:
  torchrun --nproc_per_node 8 tools/generate_pseudo_masks.py ... --launcher pytorch
  look first, change nothing:
  python tools/generate_pseudo_masks.py ... --dry-run

exit status: 0 all labelled, 1 refused to start or failed (what was done is kept, see --resume),
3 finished with skipped annotations, 130 interrupted
"""


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config', help='config of the labeler')
    parser.add_argument('checkpoint', help='its weights')
    files = parser.add_argument_group('files')
    files.add_argument(
        '--ann',
        required=True,
        type=Path,
        help='COCO-style file with boxes (masks in it are replaced)',
    )
    files.add_argument('--img-root', required=True, type=Path, help='folder of the images')
    files.add_argument('--out', required=True, type=Path, help='the file to write')
    files.add_argument(
        '--overwrite-ann', action='store_true', help='let --out be --ann: its masks are replaced'
    )
    files.add_argument('--resume', action='store_true', help='go on with an interrupted run')
    files.add_argument(
        '--report', type=Path, help='also write an HTML page with pictures into this folder'
    )
    files.add_argument('--summary', type=Path, help='also write counts and skips to this JSON')
    files.add_argument(
        '--dry-run', action='store_true', help='check everything, print the plan and end'
    )
    boxes = parser.add_argument_group('which boxes')
    boxes.add_argument(
        '--boxes',
        type=Path,
        metavar='RESULTS.json',
        help="label a detector's boxes (COCO result file) on the images of --ann instead of its "
        'annotations; scores are kept',
    )
    boxes.add_argument(
        '--only-missing', action='store_true', help='leave annotations alone that have a mask'
    )
    boxes.add_argument(
        '--categories', nargs='+', metavar='NAME', help='label these only (names or ids)'
    )
    masks = parser.add_argument_group('how to draw (default: as the config says)')
    masks.add_argument('--network', choices=['teacher', 'student', 'both'])
    masks.add_argument(
        '--flip', action='store_true', default=None, help='average with the mirrored crop'
    )
    masks.add_argument(
        '--refine', action='store_true', default=None, help='refine the masks by mean field'
    )
    masks.add_argument(
        '--mask-threshold',
        type=float,
        nargs='+',
        metavar='P',
        help='probability above which a pixel belongs to the mask; or three, for small, medium '
        'and large boxes',
    )
    masks.add_argument(
        '--margin',
        type=float,
        nargs='+',
        metavar='M',
        help='context around the box, in halves of its side; the probabilities of several are '
        'averaged',
    )
    holes = masks.add_mutually_exclusive_group()
    for name, text in (
        ('fill-holes', 'fill the holes of each mask'),
        ('carve-holes', 'cut out what looks like the surroundings: for objects with holes'),
    ):
        holes.add_argument(f'--{name}', action='store_true', default=None, help=text)
    for name, text in (
        ('largest-component', 'keep the largest piece of each mask only'),
        ('resolve-overlaps', 'pixels that several instances claim go to the surest of them'),
        ('exact-crops', "resize crops as the authors' code does, pixel for pixel; slower"),
    ):
        masks.add_argument(f'--{name}', action='store_true', default=None, help=text)
    output = parser.add_argument_group('what to write')
    output.add_argument(
        '--min-quality',
        type=float,
        default=0.0,
        metavar='Q',
        help='mark annotations whose mal_quality is lower `ignore`: training leaves them out',
    )
    output.add_argument(
        '--polygons',
        type=float,
        metavar='TOLERANCE',
        help='write polygons, at most so many pixels off, instead of RLE (holes are lost; the IoU '
        'with the mask is given as mal_polygon_iou)',
    )
    machine = parser.add_argument_group('machine')
    machine.add_argument(
        '--batch-size',
        default='32',
        help='crops in one pass (default: 32), or auto: what the GPU can hold',
    )
    machine.add_argument(
        '--threads', type=int, default=2, help='threads that read images (default: 2)'
    )
    machine.add_argument(
        '--device', help='cuda, cpu, cuda:1 ... (default: the GPU if there is one)'
    )
    machine.add_argument('--no-amp', action='store_true', help='single precision on a GPU')
    machine.add_argument(
        '--launcher',
        choices=['none', 'pytorch', 'slurm', 'mpi'],
        default='none',
        help='what started the processes (default: none, a single one)',
    )
    machine.add_argument('--local_rank', '--local-rank', type=int, help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> int:
    args = parse_args()
    # imported late: --help and wrong arguments answer at once
    from mal_mm.tool_errors import report

    kept = (
        f'{args.out} is not written yet, what was done is kept: call the same with --resume to go '
        'on'
    )
    try:
        return run(args)
    except (Exception, KeyboardInterrupt) as error:
        return report('generate_pseudo_masks', error, interrupted=kept)


def check(args: argparse.Namespace) -> None:
    """Refuse now what would fail after hours of labeling."""
    if not args.img_root.is_dir():
        raise OSError(f'--img-root {args.img_root} is no folder')
    for name, path in (('--out', args.out), ('--summary', args.summary)):
        if path and not path.parent.is_dir():
            raise OSError(f'{name} {path}: the folder {path.parent} does not exist')
        if path and path.is_dir():
            raise OSError(f'{name} {path} is a folder; give the name of a file')
    if args.threads < 1:
        raise ValueError(f'--threads must be at least 1, got {args.threads}')


def check_files(args: argparse.Namespace) -> None:
    """Refuse to write over what is read."""
    from mal_mm.formats.distinct_files import check_distinct, check_outputs

    read = {
        'CONFIG': args.config,
        'CHECKPOINT': args.checkpoint,
        '--boxes': args.boxes,
        '--img-root': args.img_root,
    }
    written = {'--out': args.out, '--summary': args.summary, '--report': args.report}
    parts = args.out.with_name(f'{args.out.name}.parts')
    check_distinct(read, {**written, 'the folder of the parts': parts})
    if args.overwrite_ann:
        written.pop('--out')
    check_distinct({'--ann': args.ann}, written, '--overwrite-ann')
    check_outputs({name: path for name, path in written.items() if path is not None})


def run(args: argparse.Namespace) -> int:
    check(args)
    check_files(args)
    if args.launcher != 'none':
        from mal_mm.compat.cpu_ranks import connect_gloo

        connect_gloo(args.launcher)
    job = make_job(args)
    return dry_run(job) if args.dry_run else label(job, args)


def make_job(args: argparse.Namespace):
    """Load the labeler, read the annotation file."""
    from mal_mm.apis import MaskLabeler
    from mal_mm.formats.plain_file import sha256
    from mal_mm.labeling import LabelingJob, Output, Selection
    from mal_mm.labeling.batch_size import find_batch_size
    from mal_mm.version import __version__

    labeler = MaskLabeler(
        args.config,
        args.checkpoint,
        device=args.device,  # None on several ranks: the GPU that connect_gloo has selected
        network=args.network,
        flip=args.flip,
        refine=args.refine,
        mask_threshold=single(args.mask_threshold),
        margin=single(args.margin),
        exact_crops=args.exact_crops,
        largest_component=args.largest_component,
        fill_holes=args.fill_holes,
        carve_holes=args.carve_holes,
        resolve_overlaps=args.resolve_overlaps,
        batch_size=1 if args.batch_size == 'auto' else int(args.batch_size),
        amp=not args.no_amp,
    )
    engine = labeler.engine
    if args.batch_size == 'auto':
        engine.batch_size = find_batch_size(engine)
        print(f'--batch-size auto: {engine.batch_size}')
    digest = hashlib.sha256(str(labeler.config.model.to_dict()).encode()).hexdigest()
    identity = dict(
        version=__version__,
        config=f'{Path(args.config).name} (sha256 of the model {digest[:16]})',
        checkpoint=f'{Path(args.checkpoint).name} (sha256 {sha256(args.checkpoint)[:16]})',
        **{name: getattr(engine, name) for name in engine.OPTIONS},
        only_missing=args.only_missing,
        categories=args.categories,
        min_quality=args.min_quality,
        polygons=args.polygons,
    )
    return LabelingJob(
        args.ann,
        args.out,
        args.img_root,
        engine,
        identity,
        Selection(args.only_missing, args.categories and frozenset(args.categories)),
        args.threads,
        Output(args.min_quality, args.polygons),
        args.boxes,
    )


def single(values: list[float] | None) -> float | list[float] | None:
    """One value as itself."""
    return values[0] if values and len(values) == 1 else values


def dry_run(job) -> int:
    """Say what would be done, and end."""
    from mal_mm.labeling.dry_run import describe_job

    text, problems = describe_job(job)
    print(text)
    return 3 if problems else 0


def label(job, args: argparse.Namespace) -> int:
    """Do it, and say what happened."""
    import json

    from mmengine.dist import get_rank, get_world_size
    from tqdm import tqdm

    from mal_mm.formats.atomic import atomic_write
    from mal_mm.formats.coco import read_coco

    start = time.time()
    ranks = get_world_size()
    bar = tqdm(
        unit='box',
        desc='labeling' if ranks == 1 else f'labeling (rank 0 of {ranks})',
        smoothing=0.05,
        disable=get_rank() > 0,
    )

    def progress(done: int, total: int) -> None:
        bar.total, bar.n = total, done
        bar.refresh()

    with bar:
        summary = job.run(args.resume, progress)
    if summary is None:
        return 0
    seconds = time.time() - start
    print(
        f'wrote {args.out}: {summary.masks} masks in {summary.images} images in '
        f'{seconds:.0f} s ({bar.n * ranks / seconds:.1f} masks/s); '
        f'{summary.empty} came out empty and hold their box, '
        f'{summary.ignored} below --min-quality, '
        f'{summary.passed} passed through untouched, {len(summary.skips)} skipped'
    )
    if summary.masks:
        shares = [f'{100 * count / summary.masks:.0f}' for count in summary.qualities]
        print(f'quality 0 to 1 in tenths, % of the masks: {" ".join(shares)}')
    if args.summary:
        with atomic_write(args.summary) as file:
            json.dump({**summary.as_dict(), 'seconds': round(seconds, 1)}, file, indent=2)
    if args.report:
        from mal_mm.visualization.report import write_report

        page = write_report(read_coco(args.out), args.img_root, args.report)
        print(f'wrote {page}')
    if summary.skips:
        print(f'skipped {len(summary.skips)} annotations, kept without a mask:', file=sys.stderr)
        for reason, count in summary.reasons().most_common(20):
            print(f'  {count} x {reason}', file=sys.stderr)
        return 3
    return 0


if __name__ == '__main__':
    sys.exit(main())
