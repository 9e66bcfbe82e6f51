"""What the tools that draw masks have in common, from their arguments to the last line."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.dist import get_rank, get_world_size
from tqdm import tqdm

from mal_mm_runtime.box_clip import RELEASED

from ..apis.file_job import make_file_job
from ..apis.mask_labeler import MaskLabeler
from ..compat.config_bases import find_config
from ..compat.config_options import check_option_keys, parse_options
from ..formats.atomic import atomic_write
from ..formats.json_file import missing_file
from ..formats.review_marks import read_marks
from ..labeling.batch_size import find_batch_size
from ..labeling.job import LabelingJob
from ..labeling.plan import Selection
from ..labeling.portion_labeler import Output
from ..labeling.review import check_redo
from ..labeling.summary import Summary


def check_arguments(args: argparse.Namespace) -> None:
    """Refuse now what would fail after hours of labeling."""
    check_places(args.img_root, {'--out': args.out, '--summary': args.summary})
    check_machine(args)
    if args.redo and (args.only_missing or getattr(args, 'boxes', None)):
        raise ValueError(
            '--redo draws masks again that a review has marked; leave out --only-missing and '
            '--boxes, which choose other ones'
        )
    for name, values, low, high in (
        ('--min-quality', [args.min_quality], 0, 1),
        ('--polygons', [args.polygons] if args.polygons is not None else [], 0, 100),
        ('--margin', args.margin or [], 0, 10),
    ):
        for value in values:
            if not low <= value <= high:  # NaN neither
                raise ValueError(f'{name} must be from {low} to {high}, got {value}')


def check_places(img_root: Path, outputs: Mapping[str, Path | None]) -> None:
    """Refuse a folder of images that is none, and files that cannot be written.

    Args:
        img_root: of the images.
        outputs: what people call it ('--out') -> file; None: not asked for.

    Raises:
        OSError: says which.
    """
    if not img_root.is_dir():
        raise OSError(f'--img-root {img_root} is no folder')
    for name, path in outputs.items():
        if path and not path.parent.is_dir():
            raise OSError(f'{name} {path}: the folder {path.parent} does not exist')
        if path and path.is_dir():
            raise OSError(f'{name} {path} is a folder; give the name of a file')


def check_annotations(ann: Path) -> None:
    """Refuse a missing file before weights are loaded, which takes seconds; AnnotationError."""
    if not ann.exists():
        raise missing_file(ann)


def check_machine(args: argparse.Namespace) -> None:
    """Refuse numbers of threads and crops that are none; ValueError."""
    if args.threads < 1:
        raise ValueError(f'--threads must be at least 1, got {args.threads}')
    if args.batch_size != 'auto' and not args.batch_size.isdigit():
        raise ValueError(f'--batch-size must be a number from 1, or auto, got {args.batch_size!r}')


def read_config(name: str, cfg_options: Sequence[str] | None) -> Config:
    """A config with `--cfg-options` applied.

    Raises:
        FileNotFoundError: there is no such config.
    """
    config = Config.fromfile(find_config(name))
    changes = parse_options(cfg_options)
    for warning in check_option_keys(config, changes):
        print(f'warning: {warning}', file=sys.stderr)
    config.merge_from_dict(changes)
    return config


def drawing_options(args: argparse.Namespace) -> dict[str, Any]:
    """What mal_mm_cli/labeling_options.py asks about drawing, as arguments of MaskLabeler."""
    return dict(
        network=args.network,
        flip=args.flip,
        refine=args.refine,
        crop_size=args.crop_size,
        precision=args.precision,
        mask_threshold=_single(args.mask_threshold),
        margin=_single(args.margin),
        box_tolerance=_tolerance(args.box_tolerance),
        overlaps=args.overlaps,
        exact_crops=args.exact_crops,
        carve_holes=args.carve_holes,
    )


def make_labeler(
    args: argparse.Namespace, config: Config, checkpoint: str | Path | None = None
) -> MaskLabeler:
    """The labeler that the arguments ask for, with its batch size."""
    instant: dict[str, Any] = {}
    if checkpoint is None:
        instant = dict(weights=args.weights, download=args.download or ask)
    labeler = MaskLabeler(
        config,
        checkpoint,
        device=args.device,  # None on several ranks: the GPU that connect_gloo has selected
        batch_size=1 if args.batch_size == 'auto' else int(args.batch_size),
        **instant,
        **drawing_options(args),
    )
    if args.batch_size == 'auto':
        labeler.engine.batch_size = find_batch_size(labeler.engine)
        print(f'--batch-size auto: {labeler.engine.batch_size}')
    return labeler


def make_job(
    args: argparse.Namespace,
    labeler: MaskLabeler,
    out: Path | None = None,
    detections: Path | None = None,
) -> LabelingJob:
    """The job of a labeler on the file of the arguments.

    Args:
        args: of a tool with the options of mal_mm_cli/labeling_options.py.
        labeler: see `make_labeler`.
        out: file to write; None: `args.out`.
        detections: see LabelingJob.
    """
    marks = read_marks(args.redo) if args.redo else None
    job = make_file_job(
        labeler,
        args.ann,
        args.img_root,
        out or args.out,
        Selection(args.only_missing, args.categories and frozenset(args.categories), marks),
        Output(args.min_quality, args.polygons),
        args.threads,
        detections,
    )
    _describe_redo(job)
    return job


def _describe_redo(job: LabelingJob) -> str | None:
    """What a review has chosen, in a sentence; ValueError where that is nothing."""
    found = len(job.plan.places) + len(job.plan.skips)
    return None if not job.redo else check_redo(job.redo, found, job.ann)


def run_job(job: LabelingJob, resume: bool, title: str = 'labeling') -> Summary | None:
    """Do a job behind a progress bar, and say in a few lines what came out."""
    start, ranks = time.time(), get_world_size()
    if job.redo and get_rank() == 0:
        print(_describe_redo(job))
    for warning in job.plan.survey() if get_rank() == 0 else ():
        print(f'warning: {warning}', file=sys.stderr)
    bar = tqdm(
        unit='box',
        desc=title if ranks == 1 else f'{title} (rank 0 of {ranks})',
        smoothing=0.05,
        disable=get_rank() > 0,
    )

    def progress(done: int, total: int) -> None:
        bar.total, bar.n = total, done
        bar.refresh()

    with bar:
        summary = job.run(resume, progress)
    if summary is None:
        return None
    seconds = time.time() - start
    print(
        f'wrote {job.out}: {summary.masks} masks in {summary.images} images in '
        f'{seconds:.0f} s ({bar.n * ranks / max(seconds, 1e-9):.1f} masks/s); '
        f'{summary.empty} came out empty and hold their box, '
        f'{summary.ignored} below --min-quality, '
        f'{summary.passed} passed through untouched, {len(summary.skips)} skipped'
    )
    if summary.same:
        print(
            f'{summary.same} of the masks drawn again came out as they were; for other ones '
            'change a setting or the labeler'
        )
    if summary.masks:
        shares = [f'{100 * count / summary.masks:.0f}' for count in summary.qualities]
        print(f'quality 0 to 1 in tenths, % of the masks: {" ".join(shares)}')
    return summary


def finish(args: argparse.Namespace, summary: Summary, seconds: float) -> int:
    """Write what else was asked for, list what was skipped; the exit status."""
    for warning in summary.warnings:
        print(f'warning: {warning}', file=sys.stderr)
    if args.summary:
        with atomic_write(args.summary) as file:
            json.dump({**summary.as_dict(), 'seconds': round(seconds, 1)}, file, indent=2)
    write_page(args)
    if summary.skips:
        print(f'skipped {len(summary.skips)} annotations, kept without a mask:', file=sys.stderr)
        for reason, count in summary.reasons().most_common(20):
            print(f'  {count} x {reason}', file=sys.stderr)
        return 3
    return 0


def write_page(args: argparse.Namespace) -> None:
    """Write the page with pictures of `args.out`, if one was asked for."""
    if args.report:
        from ..visualization.report import write_report

        page = write_report(args.out, args.img_root, args.report)
        print(f'wrote {page.path}', flush=True)
        if not page.photos:
            print(page.why_empty(args.img_root), file=sys.stderr)


def ask(question: str) -> bool:
    """Ask a person, if there is one."""
    if not (sys.stdin and sys.stdin.isatty() and sys.stderr.isatty()):
        return False
    print(f'{question} [y/N] ', end='', file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ('y', 'yes')


def _single(values: list[float] | None) -> float | list[float] | None:
    """One value as itself."""
    return values[0] if values and len(values) == 1 else values


def _tolerance(text: str | None) -> float | str | None:
    if text is None or text == RELEASED:
        return text
    try:
        return float(text)
    except ValueError:
        raise ValueError(
            f"--box-tolerance must be a number of pixels or '{RELEASED}', got {text!r}"
        ) from None
