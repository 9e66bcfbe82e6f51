"""What the review report says in numbers: one array entry per annotation, then tables."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from numbers import Real
from typing import Any

import numpy as np
from pycocotools import mask as mask_utils

from mal_mm.evaluation import mask_iou
from mal_mm.formats import annotation_to_rle, box_problem
from mal_mm.formats.image_size import stated_size
from mal_mm.formats.mal_fields import FLAG_MEANINGS, flag_of, quality_of, skip_reason

# Sizes as COCO draws them, here by the area of the given box in px^2.
SIZES = (('small', 0.0, 32.0**2), ('medium', 32.0**2, 96.0**2), ('large', 96.0**2, math.inf))
QUALITY_BINS = 20


@dataclass
class ReviewData:
    """Annotations of a labeled file with one array entry each; NaN where unknown.

    Attributes:
        images: image id -> COCO image.
        categories: category id -> name.
        annotations: N COCO annotations.
        with_human: whether human masks were given.
        boxes: (N, 4) x, y, width and height in pixels.
        quality: (N,) `mal_quality` in [0, 1].
        box_area: (N,) px^2.
        fill: (N,) area of the mask over area of its box.
        iou: (N,) mask against human mask, in [0, 1].
        has_mask: (N,) bool, a segmentation that covers at least one pixel.
        masks: N run lengths in COCO's encoding, None where there is no mask.
        human_masks: N of the human masks, likewise.
        mask_sizes: image id -> (height, width) of its masks.
        mask_problems: place of an annotation -> what is wrong with its mask.
        problems: what cannot be shown -> why.
    """

    images: dict[Any, dict]
    categories: dict[Any, str]
    annotations: list[dict]
    with_human: bool
    boxes: np.ndarray
    quality: np.ndarray
    box_area: np.ndarray
    fill: np.ndarray
    iou: np.ndarray
    has_mask: np.ndarray
    masks: list[str | None]
    human_masks: list[str | None]
    mask_sizes: dict[Any, tuple[int, int]] = field(default_factory=dict)
    mask_problems: dict[int, str] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)

    def category_name(self, annotation: dict) -> str:
        """Return the annotation's category as people call it."""
        key = as_key(annotation.get('category_id'))
        return self.categories.get(key, f'unknown category {key}')

    def size_hw(self, annotation: dict) -> tuple[int | None, int | None]:
        """Return height and width of the annotation's picture, None where the file omits it."""
        width, height = stated_size(self.images.get(as_key(annotation.get('image_id')), {}))
        return height, width


def collect(pred: dict, gt: dict | None = None) -> ReviewData:
    """Read the numbers out of a labeled COCO file, and IoUs where `gt` has human masks.

    Args:
        pred: COCO dict with pseudo-masks (`segmentation`, `mal_quality`).
        gt: COCO dict with human masks under the same annotation ids.

    Returns:
        `ReviewData` in the order of `pred['annotations']`.
    """
    annotations = [a for a in pred.get('annotations') or [] if isinstance(a, dict)]
    N = len(annotations)
    boxes = np.array([_box(a.get('bbox')) for a in annotations], dtype=float).reshape(N, 4)
    data = ReviewData(
        images={as_key(image.get('id')): image for image in pred.get('images') or []},
        categories={as_key(c.get('id')): str(c.get('name')) for c in pred.get('categories') or []},
        annotations=annotations,
        with_human=gt is not None,
        boxes=boxes,
        quality=np.array([_number(quality_of(a)) for a in annotations], dtype=float),
        box_area=np.where((boxes[:, 2:] > 0).all(axis=1), boxes[:, 2] * boxes[:, 3], np.nan),
        fill=np.full(N, np.nan),
        iou=np.full(N, np.nan),
        has_mask=np.zeros(N, dtype=bool),
        masks=[None] * N,
        human_masks=[None] * N,
    )
    for i, (annotation, human) in enumerate(
        zip(annotations, _human_masks(annotations, gt), strict=True)
    ):
        height, width = data.size_hw(annotation)
        try:
            rle = annotation_to_rle(annotation, height, width)
            if rle is not None:
                area = float(mask_utils.area(rle))
                data.has_mask[i] = area > 0
                data.fill[i] = area / data.box_area[i]
                if area:
                    _agree_on_size(data, annotation, rle)
                    data.masks[i] = _text(rle['counts'])
            if human is not None:
                # A missing mask counts as 0, as in mal_mm.evaluation.
                data.iou[i], data.human_masks[i] = _against_human(rle, human, height, width)
        except ValueError as error:
            data.mask_problems[i] = str(error)
            data.problems[f'annotation {annotation.get("id")}'] = str(error)
    return data


def as_key(value: Any) -> Any:
    """Return an id out of a file as something that a dict can be asked for."""
    return value if isinstance(value, (int, str, type(None))) else repr(value)


def images_with_boxes(data: ReviewData) -> list[Any]:
    """Ids of the images that have boxes, in the file's order; then those that the file lacks."""
    used = dict.fromkeys(as_key(a.get('image_id')) for a in data.annotations)
    known = [key for key in data.images if key in used]
    return known + [key for key in used if key not in data.images]


def size_rows(data: ReviewData) -> list[dict]:
    """Return a table row for each size of box that occurs."""
    rows = []
    for name, low, high in SIZES:
        inside = (data.box_area >= low) & (data.box_area < high)
        rows.append(_row(data, name, inside))
    rows.append(_row(data, 'no valid box', ~np.isfinite(data.box_area)))
    return [row for row in rows if row['boxes']]


def class_rows(data: ReviewData) -> list[dict]:
    """Return a table row for each category that occurs, most frequent first."""
    keys = [str(a.get('category_id')) for a in data.annotations]
    names = {str(a.get('category_id')): data.category_name(a) for a in data.annotations}
    unique, inverse, counts = np.unique(keys, return_inverse=True, return_counts=True)
    order = np.argsort(inverse, kind='stable')
    members = np.split(order, np.cumsum(counts)[:-1]) if len(unique) else []
    rows = [_row(data, names[key], own) for key, own in zip(unique, members, strict=True)]
    return sorted(rows, key=lambda row: (-row['boxes'], row['name']))


def quality_histogram(quality: np.ndarray, bins: int = QUALITY_BINS) -> list[dict]:
    """Return `bins` equal bins of [0, 1] as dicts of low, high, count and share of the peak."""
    known = np.clip(quality[np.isfinite(quality)], 0, 1)
    counts, edges = np.histogram(known, bins=bins, range=(0, 1))
    peak = max(1, counts.max(initial=0))
    return [
        {'low': low, 'high': high, 'count': int(count), 'share': count / peak}
        for low, high, count in zip(edges[:-1], edges[1:], counts, strict=True)
    ]


def flag_counts(data: ReviewData) -> list[tuple[str, str, int]]:
    """Return each `mal_flag`, its meaning and the number of annotations, most frequent first."""
    counts = Counter(str(flag_of(a)) for a in data.annotations if flag_of(a))
    return [(flag, FLAG_MEANINGS.get(flag, ''), n) for flag, n in counts.most_common()]


def skip_groups(data: ReviewData, examples: int = 6) -> list[dict]:
    """Group what the labeler could not label by reason: what `mal_skipped` says, else what is
    wrong with the boxes of annotations without a mask.

    Args:
        data: the annotations.
        examples: how many ids to name for each reason.

    Returns:
        Dicts of reason, count, examples (strings) and more (how many are not named), most
        frequent first.
    """
    counts: Counter[str] = Counter()
    names: dict[str, list[str]] = {}
    for reason, which in _unmasked(data):
        # The values of one box would make each reason unique.
        reason = re.sub(r':? \[[^\]]*\]', '', reason)
        counts[reason] += 1
        some = names.setdefault(reason, [])
        if len(some) < examples:
            some.append(which)
    return [
        {
            'reason': reason,
            'count': count,
            'examples': names[reason],
            'more': count - len(names[reason]),
        }
        for reason, count in counts.most_common()
    ]


def _unmasked(data: ReviewData) -> Iterator[tuple[str, str]]:
    categories = data.categories or None
    for annotation, has_mask in zip(data.annotations, data.has_mask, strict=True):
        reason = skip_reason(annotation)
        if has_mask and not reason:
            continue
        reason = reason or box_problem(annotation, data.images, categories) or 'no mask'
        yield str(reason), f'annotation {annotation.get("id")}'


def mean(values: np.ndarray) -> float | None:
    """Return the mean of the known values, None when there is none."""
    known = values[np.isfinite(values)]
    return float(known.mean()) if known.size else None


def _row(data: ReviewData, name: str, inside: np.ndarray) -> dict:
    return {
        'name': name,
        'boxes': int(inside.sum()) if inside.dtype == bool else len(inside),
        'masks': int(data.has_mask[inside].sum()),
        'quality': mean(data.quality[inside]),
        'fill': mean(data.fill[inside]),
        'iou': mean(data.iou[inside]),
    }


def _human_masks(annotations: list[dict], gt: dict | None) -> list[dict | None]:
    if gt is None:
        return [None] * len(annotations)
    # Crowds are no instances.
    by_id = {
        as_key(a.get('id')): a
        for a in gt.get('annotations') or []
        if a.get('segmentation') and not a.get('iscrowd')
    }
    found = [by_id.get(as_key(a.get('id'))) for a in annotations]
    return [
        human if human and human.get('image_id') == own.get('image_id') else None
        for own, human in zip(annotations, found, strict=True)
    ]


def _agree_on_size(data: ReviewData, annotation: dict, rle: dict) -> None:
    """All masks of an image are of one size, also where its record has none."""
    key, size = as_key(annotation.get('image_id')), tuple(rle['size'])
    if data.mask_sizes.setdefault(key, size) != size:
        raise ValueError(
            f'annotation {annotation.get("id")!r}: its mask is {size[0]} x {size[1]} (height x '
            f'width), another one of the same image {data.mask_sizes[key][0]} x '
            f'{data.mask_sizes[key][1]}'
        )


def _against_human(
    rle: dict | None, human: dict, height: int | None, width: int | None
) -> tuple[float, str | None]:
    """IoU with the human mask, and the human mask's run lengths."""
    human_rle = annotation_to_rle(human, *(rle['size'] if rle else (height, width)))
    if human_rle is None:
        return math.nan, None
    # Both were checked on the way here.
    iou = float(mask_iou([rle], [human_rle], check=False)[0]) if rle else 0.0
    return iou, _text(human_rle['counts'])


def _text(counts: str | bytes) -> str:
    return counts.decode('ascii') if isinstance(counts, bytes) else counts


def _number(value: Any) -> float:
    """Return a finite float, NaN for anything else."""
    if isinstance(value, bool) or not isinstance(value, Real):
        return math.nan
    try:
        return float(value) if math.isfinite(value) else math.nan
    except OverflowError:  # JSON's whole numbers have no bound
        return math.nan


def _box(box: Any) -> list[float]:
    if not isinstance(box, (list, tuple)) or len(box) != 4:
        return [math.nan] * 4
    return [_number(side) for side in box]
