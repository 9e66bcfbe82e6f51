"""A detector's boxes: COCO result files."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from .coco import CocoStream
from .errors import AnnotationError, shorten
from .json_file import read_json


def read_detections(path: str | Path) -> list[dict[str, Any]]:
    """Read a COCO result file of boxes (`results.bbox.json` of MMDetection).

    Args:
        path: a JSON list of objects with `image_id`, `category_id`, `bbox` [x, y, width, height]
            and `score`.

    Returns:
        The list; the boxes themselves are unchecked.

    Raises:
        AnnotationError: the file cannot be read, is no such list, or lacks a score.
    """
    detections = read_json(path)
    if not isinstance(detections, list):
        raise AnnotationError(
            f'{path}: must be a list of detections, got {shorten(detections)}; give results of '
            'boxes, which MMDetection writes when test_evaluator.outfile_prefix is set'
        )
    for i, detection in enumerate(detections):
        score = detection.get('score') if isinstance(detection, dict) else None
        if not isinstance(score, (int, float)) or not math.isfinite(score):
            raise AnnotationError(
                f'{path}: entry {i} must be an object with a number as score, got '
                f'{shorten(detection)}'
            )
    return detections


class DetectionStream:
    """Detections in place of an annotation file's annotations; used as a CocoStream.

    Args:
        ann: COCO-style file that gives images and categories.
        detections: see `read_detections`.

    Attributes:
        value: the annotation file's object, with an empty list as `annotations`.
        count: number of detections.
    """

    def __init__(self, ann: str | Path, detections: str | Path) -> None:
        self.value = CocoStream(ann, images_alone=True).value
        self._detections = read_detections(detections)
        self.count = len(self._detections)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """The detections as annotations, numbered from 1 in the order of the file."""
        for number, detection in enumerate(self._detections, 1):
            yield {'id': number, **detection}

    def whole(self, annotations: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
        """The annotation file's object with other annotations."""
        return {**self.value, 'annotations': annotations}
