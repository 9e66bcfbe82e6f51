"""Label a COCO-style object in memory: every annotation that goes in comes out, in order."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ..formats import mal_fields
from ..formats.coco import index_images
from .engine import LabelingEngine
from .plan import Plan, Selection, make_plan
from .portion_labeler import PortionLabeler, apply_fields
from .summary import Summary

# batches in a portion: few enough for little to be lost, enough for the last one to be full mostly
_BATCHES = 4


def cut_plan(plan: Plan, engine: LabelingEngine) -> list[tuple[int, int]]:
    """The portions of a plan for an engine, see `Plan.portions`."""
    return plan.portions(_BATCHES * engine.batch_size, engine.overlaps != 'keep')


def label_coco(
    data: dict,
    img_root: str | Path,
    engine: LabelingEngine,
    path: str | Path = 'annotations',
    on_image: Callable[[int], None] | None = None,
    num_threads: int = 2,
    selection: Selection | None = None,
) -> Summary:
    """Draw a mask for every annotation, in place.

    Each image is decoded once, in threads, while the network works. A labelled annotation gets
    `segmentation` (compressed RLE), `area` (of the mask) and `mal_quality`; nothing else changes.
    A mask that comes out empty is replaced by the box, with `mal_quality` 0 and `mal_flag`
    'empty_mask'. An annotation that cannot be labelled keeps its own mask if it has one, otherwise
    gets an empty one with area 0, which training leaves out; `mal_skipped` says why. Crowd regions
    with a mask pass through untouched. For files too large for the memory there is LabelingJob.

    Args:
        data: what `read_coco` gives; changed in place.
        img_root: folder that `file_name`s (LVIS: the paths in `coco_url`s) are relative to; they
            may not leave it.
        engine: draws the masks.
        path: the annotation file's name, for errors.
        on_image: called with the number of annotations that have been dealt with since.
        num_threads: threads that read and cut images.
        selection: which annotations get a new mask.

    Returns:
        The summary.

    Raises:
        AnnotationError: images or categories cannot be told apart by their ids.
    """
    annotations = data['annotations']
    images = index_images(data, path)
    plan = make_plan(data, annotations, path, selection)
    summary = Summary(annotations=plan.count, passed=plan.passed, warnings=plan.survey())

    def change(place: int, fields: dict) -> None:
        annotation = annotations[place]
        apply_fields(annotation, fields, images)
        summary.add(fields, place, annotation)

    for skip in plan.skips:
        change(skip.annotation_index, mal_fields.skipped(skip.reason))
    if on_image:
        on_image(plan.passed + len(plan.skips))
    for changes, _ in PortionLabeler(engine, plan, img_root, num_threads).run(
        cut_plan(plan, engine)
    ):
        for place, fields in changes:
            change(place, fields)
        if on_image:
            on_image(len(changes))
    summary.skips.sort(key=lambda skip: skip.annotation_index)
    return summary
