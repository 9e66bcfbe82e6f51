"""What the tools that draw masks have in common, from the labeler to the last line."""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.dist import get_rank, get_world_size
from tqdm import tqdm

from mal_mm_runtime.box_clip import RELEASED

from ..apis.file_job import make_file_job
from ..apis.mask_labeler import MaskLabeler
from ..formats.atomic import atomic_write
from ..formats.review_marks import read_marks
from ..labeling.batch_size import find_batch_size
from ..labeling.job import LabelingJob
from ..labeling.plan import Selection
from ..labeling.portion_labeler import Output
from ..labeling.review import check_redo
from ..labeling.summary import Summary
from .labeling_checks import ask, write_page


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
