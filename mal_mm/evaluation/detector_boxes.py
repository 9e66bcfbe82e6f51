"""A detector's boxes, labelled: from box results to mask results."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mal_mm.formats.mal_fields import skip_reason
from mal_mm.labeling import LabelingEngine, Summary, label_coco


def label_detections(
    detections: Sequence[Mapping[str, Any]],
    gt: Mapping[str, Any],
    img_root: str | Path,
    engine: LabelingEngine,
    gt_name: str | Path = 'ground truth',
    on_image: Callable[[int], None] | None = None,
    num_threads: int = 2,
) -> tuple[list[dict[str, Any]], Summary]:
    """Draw a mask for every detected box.

    Args:
        detections: see `read_detections`; they stay as they are.
        gt: gives `images` and `categories`.
        img_root: folder that `file_name`s are relative to.
        engine: draws the masks.
        gt_name: what to call `gt` in errors.
        on_image, num_threads: see `label_coco`.

    Returns:
        The labelled detections in their order, with `image_id`, `category_id`, `bbox`, `score`,
        and `segmentation` (compressed RLE; the box where the mask came out empty), and what
        happened; in `Summary.skips` the boxes that got no mask, by their place in `detections`.

    Raises:
        AnnotationError: the images or categories cannot be told apart by their ids.
    """
    keys = ('image_id', 'category_id', 'bbox')
    annotations = [
        {'id': place, **{key: detection.get(key) for key in keys}}
        for place, detection in enumerate(detections)
    ]
    data = {**gt, 'annotations': annotations}
    summary = label_coco(data, img_root, engine, gt_name, on_image, num_threads)
    labelled = [
        {
            **{key: annotation[key] for key in keys},
            'score': detection['score'],
            'segmentation': annotation['segmentation'],
        }
        for annotation, detection in zip(annotations, detections, strict=True)
        if skip_reason(annotation) is None
    ]
    return labelled, summary
