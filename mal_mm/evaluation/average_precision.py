"""COCO's average precision of detection results, boxes and masks."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any

from pycocotools import mask as mask_utils
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from mal_mm.formats import (
    AnnotationError,
    annotation_to_rle,
    box_problem,
    index_annotations,
    index_categories,
    index_images,
)

from .mask_iou import BOUNDLESS

AP_NAMES = ('AP', 'AP50', 'AP75', 'APs', 'APm', 'APl')
# A detection's area, by which it counts as small, medium or large where it matches nothing.
_AREAS = {
    'bbox': lambda result: result['bbox'][2] * result['bbox'][3],
    'segm': lambda result: int(mask_utils.area(result['segmentation'])),
}


def coco_ap(
    gt: Mapping[str, Any],
    results: Sequence[Mapping[str, Any]],
    gt_name: str = 'ground truth',
    kinds: Iterable[str] = ('bbox', 'segm'),
) -> dict[str, Any]:
    """AP of the boxes and of the masks of the same detections.

    Crowds absorb detections and count for nothing; at most 100 detections of a class in an image,
    the usual limit, are looked at. Sizes go by the ground truth's `area`, that of its mask where
    it states none.

    Args:
        gt: human annotations, each with a mask, `images` and `categories`.
        results: detections as COCO result files hold them, with `image_id`, `category_id`,
            `score`, `bbox` [x, y, width, height] and `segmentation` (compressed RLE).
        gt_name: what to call `gt` in errors.
        kinds: what to score; detections need not have what is left out.

    Returns:
        Each of `kinds`, a dict of `AP` (over IoU 0.5 to 0.95), `AP50`, `AP75`, `APs`, `APm`, `APl`
        in [0, 1], and `per_class`, a list of `id`, `name`, `AP` in the order of the categories;
        None where the ground truth has no instance.

    Raises:
        AnnotationError: there are no categories; a human mask is missing or damaged; an image or
            category is unknown.
    """
    images = index_images(gt, gt_name)
    categories = index_categories(gt, gt_name)
    if not categories:
        raise AnnotationError(f'{gt_name}: has no categories, over which AP is averaged; add them')
    human = [_human(each, images, gt_name) for each in index_annotations(gt, gt_name).values()]
    truth = _coco(human, images, categories, gt_name)
    scores = {}
    for iou_type in kinds:
        found = [{**result, 'area': _AREAS[iou_type](result)} for result in results]
        evaluator = COCOeval(truth, _coco(found, images, categories, 'a detection'), iou_type)
        scores[iou_type] = _run(evaluator, categories)
    return scores


def _human(
    annotation: Mapping[str, Any], images: Mapping[Hashable, Mapping[str, Any]], gt_name: str
) -> dict[str, Any]:
    image_id = annotation.get('image_id')
    image = images.get(image_id, {}) if isinstance(image_id, Hashable) else {}
    try:
        rle = annotation_to_rle(annotation, image.get('height'), image.get('width'))
    except AnnotationError as error:
        raise AnnotationError(f'{gt_name}: {error}') from None
    if rle is None:
        raise AnnotationError(
            f'{gt_name}: annotation {annotation["id"]!r} has no mask; AP needs one for each, '
            'crowds included'
        )
    usable = box_problem({**annotation, 'image_id': 0}, BOUNDLESS) is None
    area = annotation.get('area')
    return {
        'image_id': image_id,
        'category_id': annotation.get('category_id'),
        'bbox': annotation['bbox'] if usable else mask_utils.toBbox(rle).tolist(),
        'segmentation': rle,
        'area': area if isinstance(area, (int, float)) else int(mask_utils.area(rle)),
        'iscrowd': int(bool(annotation.get('iscrowd'))),
    }


def _coco(
    records: Iterable[Mapping[str, Any]],
    images: Mapping[Hashable, Mapping[str, Any]],
    categories: Mapping[Hashable, Any],
    name: str,
) -> COCO:
    # Numbered anew, from 1: COCOeval takes a match with annotation 0 for none, and cannot sort
    # ids of which some are numbers and some are not.
    numbers = {
        key: {each: number for number, each in enumerate(ids, 1)}
        for key, ids in (('image_id', images), ('category_id', categories))
    }

    def located(record: Mapping[str, Any]) -> dict[str, int]:
        try:
            return {key: numbers[key][record.get(key)] for key in numbers}
        except (KeyError, TypeError):
            ids = {key: record.get(key) for key in numbers}
            raise AnnotationError(f'{name}: unknown image or category in {ids}') from None

    coco = COCO()
    coco.dataset = {
        'images': [
            {'id': number, 'height': image.get('height'), 'width': image.get('width')}
            for number, image in enumerate(images.values(), 1)
        ],
        'categories': [{'id': number} for number in numbers['category_id'].values()],
        'annotations': [
            {'iscrowd': 0, **record, **located(record), 'id': number}
            for number, record in enumerate(records, 1)
        ],
    }
    with _silence():
        coco.createIndex()
    return coco


def _run(evaluator: COCOeval, categories: Mapping[Hashable, Mapping[str, Any]]) -> dict[str, Any]:
    with _silence():
        evaluator.evaluate()
        evaluator.accumulate()
        evaluator.summarize()
    # IoU thresholds, recalls, classes; all areas, the largest number of detections
    precision = evaluator.eval['precision'][:, :, :, 0, -1]
    return {
        **{name: _or_none(value) for name, value in zip(AP_NAMES, evaluator.stats, strict=False)},
        'per_class': [
            {
                'id': category_id,
                'name': str(category.get('name', category_id)),
                'AP': _or_none(precision[:, :, row].mean()),
            }
            for row, (category_id, category) in enumerate(categories.items())
        ],
    }


def _or_none(value: float) -> float | None:
    return float(value) if value >= 0 else None  # -1 says: no instances


def _silence() -> contextlib.AbstractContextManager:
    return contextlib.redirect_stdout(io.StringIO())  # pycocotools prints its progress
