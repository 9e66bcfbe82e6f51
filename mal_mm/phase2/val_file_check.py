"""Before training: would the first validation stop at the annotation file?"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ..formats.coco import CocoStream, index_images
from ..formats.errors import AnnotationError, shorten
from ..formats.image_size import stated_size


class ValFileError(AnnotationError):
    """Validation would stop at its annotation file, or count wrongly."""


def check_annotation_ids(annotations: Iterable[Mapping[str, Any]], path: str | Path) -> None:
    """Make sure that annotations can be told apart, as MMDetection does, by their ids.

    Raises:
        ValFileError: one has no id, or that of another.
    """
    watch = IdWatch(path)
    for annotation in annotations:
        watch.see(annotation)


class IdWatch:
    """Looks at the ids of annotations that go by; see `check_annotation_ids`.

    Args:
        path: of the file, for the errors.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = path
        self._seen: set[Any] = set()
        self._place = -1

    def see(self, annotation: Mapping[str, Any]) -> None:
        """Raises ValFileError if the annotation has no id, or one that went by."""
        self._place += 1
        number = annotation.get('id')
        if type(number) not in (int, str):
            what = f'id {shorten(number)}' if 'id' in annotation else 'no `id`'
            raise ValFileError(
                f'{self.path}: annotations[{self._place}] has {what}; MMDetection tells '
                'annotations apart by them: number them from 1'
            )
        if number in self._seen:
            raise ValFileError(
                f'{self.path}: id {number!r} occurs twice in `annotations`, so that MMDetection '
                'would lose one of the two; number them from 1'
            )
        self._seen.add(number)


def check_val_file(path: str | Path, needs_masks: bool) -> None:
    """Make sure that MMDetection can read a file for validation and CocoMetric score by it.

    Args:
        path: COCO-style file.
        needs_masks: masks are scored, not boxes alone.

    Raises:
        ValFileError: a field is missing; names the annotation and the field.
        AnnotationError: the file is not COCO-style.
    """
    stream = CocoStream(path)
    images = index_images(stream.value, path)
    for image_id, image in images.items():
        if None in stated_size(image):
            raise ValFileError(
                f'{path}: image {image_id!r} needs `width` and `height`, whole numbers of pixels'
            )
    watch = IdWatch(path)
    fixes = {
        'image_id': 'say which image it lies in',
        'category_id': 'say which category it is of',
        'bbox': 'add [x, y, width, height]',
        'area': 'add the area of its mask in pixels (of its box, where there are no masks)',
        'iscrowd': 'add "iscrowd": 0',
        **({'segmentation': 'add its mask'} if needs_masks else {}),
    }
    for annotation in stream:
        watch.see(annotation)
        for key, fix in fixes.items():
            if annotation.get(key) is None:
                raise ValFileError(
                    f'{path}: annotation {annotation["id"]!r} has no `{key}`, which validation '
                    f'needs; {fix}, in all of them'
                )
