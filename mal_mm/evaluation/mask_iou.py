"""Mask and boundary IoU of a prediction file against a ground-truth file, instance by instance.

Every annotation is scored by itself against its own counterpart (same annotation id), and classes
are kept apart by the files' own category ids, which may be any numbers. The same scores are given
for two masks drawn from the ground-truth box alone, the floors.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from pycocotools import mask as mask_utils
from tqdm import tqdm

from mal_mm.formats import (
    AnnotationError,
    annotation_to_rle,
    box_problem,
    check_rle,
    index_annotations,
    index_categories,
    index_images,
    segmentation_to_rle,
)
from mal_mm.formats.mal_fields import quality_of

from .boundary_iou import MaskBoundary, is_all_boundary
from .floors import box_fill_rle, inscribed_ellipse_rle
from .human_truth import REASON, is_machine_made, is_mixed
from .scores import KINDS, Scores

_CHUNK = 1024
# For the question whether a box is one at all.
BOUNDLESS: Mapping[Hashable, Mapping[str, Any]] = {0: {}}


def mask_iou(
    rles_a: Sequence[Mapping[str, Any]],
    rles_b: Sequence[Mapping[str, Any]],
    *,
    check: bool = True,
) -> np.ndarray:
    """Intersection over union of each mask with its partner, without decoding them.

    Args:
        rles_a: N compressed RLEs.
        rles_b: N compressed RLEs, each of the size of its partner.
        check: look for damaged RLEs first, on which pycocotools may never return; False only for
            RLEs that are known to be sound (from `annotation_to_rle` or pycocotools).

    Returns:
        (N,) float64 in [0, 1]; 0 where both masks are empty.

    Raises:
        ValueError: the lists differ in length, or partners in size.
        AnnotationError: an RLE is damaged.
    """
    if len(rles_a) != len(rles_b):
        raise ValueError(
            f'`rles_a` and `rles_b` must pair up, got {len(rles_a)} and {len(rles_b)} masks'
        )
    for i, (a, b) in enumerate(zip(rles_a, rles_b, strict=True)):
        if check:
            check_rle(a)
            check_rle(b)
        if list(a['size']) != list(b['size']):
            raise ValueError(
                f'pair {i}: masks must be of one size, got {a["size"]} and {b["size"]} '
                '(height, width)'
            )
    # Twice as quick as mask_utils.iou on single pairs.
    common = [
        mask_utils.merge([a, b], intersect=True) for a, b in zip(rles_a, rles_b, strict=True)
    ]
    intersections = _areas(common)
    unions = _areas(rles_a) + _areas(rles_b) - intersections
    return intersections / np.maximum(unions, 1)


def _areas(rles: Sequence[Mapping[str, Any]]) -> np.ndarray:
    # pycocotools 2.0.x puts the number of masks into a uint8, where numpy 2 refuses more than 255.
    parts = [mask_utils.area(list(rles[i : i + 255])) for i in range(0, len(rles), 255)]
    return np.concatenate([np.empty(0, np.int64), *parts]).astype(np.int64)


# ------------------------------------------------------------------------------ whole data sets


def evaluate(
    pred: Mapping[str, Any],
    gt: Mapping[str, Any],
    *,
    pred_name: str = 'predictions',
    gt_name: str = 'ground truth',
    progress: bool = False,
) -> dict[str, Any]:
    """Score the masks of one COCO-style file against those of another.

    Annotations are matched by id. A ground-truth annotation without a prediction, or whose
    prediction has no mask, counts with IoU 0. Ground truth that is a crowd, has no mask or a
    damaged one is left out, and a labeler's mask too where others are marked as a human's
    (`mal_human`). Sizes, floors and classes are those of the ground truth; where it
    has no usable box, the mask's tight box takes its place.

    Args:
        pred: predicted annotations; `mal_quality` in them is compared with the IoU.
        gt: human annotations, with `images` and `categories`.
        pred_name: what to call `pred` in errors.
        gt_name: likewise.
        progress: show a progress bar on a terminal.

    Returns:
        What JSON can hold; a score of no instances at all is None.

        - `masks`, `box_fill`, `inscribed_ellipse`: each `instances`; `mean_iou` and
          `boundary_iou`, means over instances; `class_mean_iou` and `class_mean_boundary_iou`,
          means over the means of the classes; `size` -> small, medium, large (box area below
          32^2, below 96^2, above) -> `instances`, `mean_iou`, `boundary_iou`; `share_above` ->
          0.5, 0.75, 0.9 -> share of instances with at least that IoU.
        - `per_class`: list of `id`, `name`, `instances`, the mean IoU as `masks`, `box_fill`,
          `inscribed_ellipse`, and `boundary_iou` with the same three keys; in the order of the
          ground truth's categories.
        - `quality_spearman`: rank correlation of `mal_quality` and IoU.
        - `counts`: `ground_truth`, `predictions`, `evaluated`, `missing` (counted as 0),
          `left_out`, `unmatched_predictions` (of ids the ground truth lacks),
          `boxes_from_masks` (no usable box in the ground truth).
        - `missing_ids`: list of annotation ids; `left_out`: list of `annotation_id`, `reason`.

    Raises:
        AnnotationError: ids missing or given twice; no id in common; a pair lies in different
            images; a predicted mask is damaged or of another size than its image.
    """
    images = index_images(gt, gt_name)
    categories = index_categories(gt, gt_name) or {}
    gt_by_id = index_annotations(gt, gt_name)
    pred_by_id = index_annotations(pred, pred_name)
    unmatched = sum(1 for annotation_id in pred_by_id if annotation_id not in gt_by_id)
    if gt_by_id and pred_by_id and unmatched == len(pred_by_id):
        raise AnnotationError(
            f'{pred_name} and {gt_name} have no annotation id in common; give predictions that '
            'were made from this ground truth or from its boxes'
        )

    matcher = _Matcher(images, pred_by_id, pred_name, is_mixed(gt_by_id.values()))
    bar = tqdm(gt_by_id.values(), desc='masks', unit=' masks', disable=None if progress else True)
    matches = (match for match in map(matcher.match, bar) if match is not None)
    scores = Scores(categories)
    while chunk := list(itertools.islice(matches, _CHUNK)):
        drawn = [_draw(match) for match in chunk]
        ious = _chunk_ious(chunk, drawn)
        scores.add(
            [match.category_id for match in chunk],
            ious=ious,
            boundary_ious=_chunk_boundary_ious(chunk, drawn, ious),
            box_areas=[match.box[2] * match.box[3] for match in chunk],
            qualities=[match.quality for match in chunk],
        )
    bar.close()

    return {
        **scores.summary(),
        'counts': {
            'ground_truth': len(gt_by_id),
            'predictions': len(pred_by_id),
            'evaluated': scores.count,
            'missing': len(matcher.missing_ids),
            'left_out': len(matcher.left_out),
            'unmatched_predictions': unmatched,
            'boxes_from_masks': matcher.boxes_from_masks,
        },
        'missing_ids': matcher.missing_ids,
        'left_out': matcher.left_out,
    }


def _draw(match: _Match) -> dict[str, dict | None]:
    """RLE of the predicted mask and of each floor; None where there is no prediction."""
    return {
        'masks': match.pred_rle,
        'box_fill': box_fill_rle(match.box, *match.rle['size']),
        'inscribed_ellipse': inscribed_ellipse_rle(match.box, *match.rle['size']),
    }


def _chunk_ious(
    matches: Sequence[_Match], drawn: Sequence[Mapping[str, dict | None]]
) -> dict[str, np.ndarray]:
    result = {}
    for kind in KINDS:
        present = {i: rle for i, rles in enumerate(drawn) if (rle := rles[kind]) is not None}
        result[kind] = np.zeros(len(matches))
        result[kind][list(present)] = mask_iou(
            list(present.values()), [matches[i].rle for i in present], check=False
        )
    return result


def _chunk_boundary_ious(
    matches: Sequence[_Match],
    drawn: Sequence[Mapping[str, dict | None]],
    ious: Mapping[str, np.ndarray],
) -> dict[str, np.ndarray]:
    result = {kind: ious[kind].copy() for kind in KINDS}  # right for thin masks, quicker by far
    for i, (match, rles) in enumerate(zip(matches, drawn, strict=True)):
        thin, truth = is_all_boundary(match.rle), None
        for kind, rle in rles.items():
            if rle is not None and not (thin and is_all_boundary(rle)):
                truth = truth or MaskBoundary.of(match.rle)
                result[kind][i] = MaskBoundary.of(rle).iou(truth)
    return result


@dataclass(frozen=True, slots=True)
class _Match:
    box: Sequence[float]  # xywh
    category_id: Hashable
    rle: dict[str, Any]
    pred_rle: dict[str, Any] | None
    quality: float


@dataclass
class _Matcher:
    """Finds the partner of a ground-truth annotation and keeps book of what has none."""

    images: Mapping[Hashable, Mapping[str, Any]]
    pred_by_id: Mapping[Hashable, Mapping[str, Any]]
    pred_name: str
    humans_only: bool = False
    missing_ids: list[Any] = field(default_factory=list)
    left_out: list[dict[str, Any]] = field(default_factory=list)
    boxes_from_masks: int = 0

    def match(self, annotation: dict[str, Any]) -> _Match | None:
        image = self.images.get(_key(annotation.get('image_id')), {})
        if self.humans_only and is_machine_made(annotation):
            self.left_out.append({'annotation_id': annotation['id'], 'reason': REASON})
            return None
        try:
            rle = _human_mask(annotation, image)
        except AnnotationError as error:
            self.left_out.append({'annotation_id': annotation['id'], 'reason': str(error)})
            return None

        box: Any = annotation.get('bbox')
        if box_problem({'bbox': box, 'image_id': 0}, BOUNDLESS) is not None:
            box = mask_utils.toBbox(rle).tolist()
            self.boxes_from_masks += 1

        pred = self.pred_by_id.get(annotation['id'])
        pred_rle = self._predicted_mask(pred, annotation, rle) if pred is not None else None
        if pred_rle is None:
            self.missing_ids.append(annotation['id'])
        return _Match(
            box=box,
            category_id=_key(annotation.get('category_id')),
            rle=rle,
            pred_rle=pred_rle,
            quality=quality_of(pred) if pred and pred_rle is not None else math.nan,
        )

    def _predicted_mask(
        self, pred: Mapping[str, Any], annotation: Mapping[str, Any], rle: Mapping[str, Any]
    ) -> dict | None:
        if pred.get('image_id') != annotation.get('image_id'):
            raise AnnotationError(
                f'{self.pred_name}: annotation {pred["id"]!r} lies in image '
                f'{pred.get("image_id")!r}, in the ground truth in image '
                f'{annotation.get("image_id")!r}; the two files do not belong together'
            )
        try:
            return annotation_to_rle(pred, *rle['size'])
        except AnnotationError as error:
            raise AnnotationError(f'{self.pred_name}: {error}') from None


def _human_mask(annotation: dict[str, Any], image: Mapping[str, Any]) -> dict[str, Any]:
    if annotation.get('iscrowd'):
        raise AnnotationError('is a crowd, not an instance')
    if not image:
        raise AnnotationError(f'image {annotation.get("image_id")!r} is not among the images')
    rle = segmentation_to_rle(
        annotation.get('segmentation'), image.get('height'), image.get('width')
    )
    if rle is None:
        raise AnnotationError('has no mask')
    if not mask_utils.area(rle):
        raise AnnotationError('has an empty mask')
    return rle


def _key(value: object) -> Hashable:
    """An id from a file as a dictionary key that JSON can hold."""
    return value if isinstance(value, (int, str, type(None))) else repr(value)
