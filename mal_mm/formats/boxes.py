"""Which annotations have a box that can be labelled and trained on."""

from __future__ import annotations

import math
import sys
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any

from mal_mm_runtime.windows import SIZE_BOUNDS

from .errors import shorten
from .image_size import stated_size

__all__ = ['SIZE_BOUNDS', 'Skip', 'box_problem']

_INF = math.inf
# JSON's whole numbers have no bound, and adding one beyond this to a float raises.
_MAX = sys.float_info.max


@dataclass(frozen=True, slots=True)
class Skip:
    """An annotation that is left out of training or labeling.

    Attributes:
        annotation_index: place in the file's `annotations`, from 0.
        annotation_id: its `id`; None where it has none.
        reason: why, in words.
    """

    annotation_index: int
    annotation_id: Any
    reason: str


def box_problem(
    annotation: Mapping[str, Any],
    images_by_id: Mapping[Hashable, Mapping[str, Any]],
    categories_by_id: Mapping[Hashable, Any] | None = None,
) -> str | None:
    """Say why an annotation's box can be neither labelled nor trained on.

    A box that lies only partly outside its image is fine, and so is one of a pixel's fraction.

    Args:
        annotation: a COCO annotation; `bbox` is [x, y, width, height] in image pixels.
        images_by_id: see `index_images`; an image without width or height is not held against
            its boxes, see `image_size`.
        categories_by_id: see `index_categories`; None: any category will do.

    Returns:
        The reason in words; None where the box is usable.
    """
    # The usual case in one chained test, below a microsecond. NaN, infinity and strings fail
    # it or raise, and the words are then looked for at leisure.
    try:
        x, y, w, h = annotation['bbox']
        image = images_by_id[annotation['image_id']]
        if (
            0 < w <= _MAX
            and 0 < h <= _MAX
            and x + w > 0
            and y + h > 0
            and x < image['width']
            and y < image['height']
            and (categories_by_id is None or annotation['category_id'] in categories_by_id)
        ):
            return None
    except (KeyError, TypeError, ValueError, ArithmeticError):
        pass
    return (
        _bbox_problem(annotation)
        or _reference_problem(annotation, 'image_id', images_by_id, 'images')
        or _reference_problem(annotation, 'category_id', categories_by_id, 'categories')
        or _outside_problem(annotation['bbox'], images_by_id[annotation['image_id']])
    )


def _bbox_problem(annotation: Mapping[str, Any]) -> str | None:
    box = annotation.get('bbox')
    if box is None:
        return 'bbox is missing'
    if (
        not isinstance(box, (list, tuple))
        or len(box) != 4
        or not all(isinstance(v, (int, float)) for v in box)
    ):
        return f'bbox must be four numbers [x, y, width, height], got {shorten(box)}'
    if not all(-_MAX <= v <= _MAX for v in box):
        return f'bbox holds NaN or infinity: {shorten(box)}'
    if min(box[2:]) < 0:
        return f'bbox has a negative width or height: {shorten(box)}'
    if min(box[2:]) == 0:
        return f'bbox has zero width or height: {shorten(box)}'
    return None


def _reference_problem(
    annotation: Mapping[str, Any], key: str, known: Mapping[Hashable, Any] | None, where: str
) -> str | None:
    if known is None:
        return None
    value = annotation.get(key)
    if value is None:
        return f'{key} is missing'
    if not isinstance(value, Hashable) or value not in known:
        return f"{key} {shorten(value)} is not among the file's {where}"
    return None


def _outside_problem(box: list[float], image: Mapping[str, Any]) -> str | None:
    x, y, w, h = box
    # An unknown side is taken as endless; left of and above the image stay outside.
    width, height = (_INF if side is None else side for side in stated_size(image))
    if x + w > 0 and y + h > 0 and x < width and y < height:
        return None
    size = f'{width} x {height} ' if width < _INF and height < _INF else ''
    return f'bbox {shorten(box)} lies wholly outside its {size}image'
