"""AP of result files: those of MMDetection and Detectron2, and those of Ultralytics."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from ..formats import read_coco
from ..formats.detections import read_detections
from ..formats.paths import image_file_name
from .average_precision import AP_NAMES, coco_ap
from .human_truth import human_images, is_mixed
from .run_scores import Evaluation

# what Ultralytics calls its results; Detectron2's have the ids of the ground truth
ULTRALYTICS_RESULTS = 'predictions.json'


def score_results(path: Path, gt_ann: str | Path | None) -> Evaluation:
    """Score detections with human masks.

    Args:
        path: a JSON list of detections; those of a file called predictions.json name images and
            classes as Ultralytics does.
        gt_ann: the human masks.

    Returns:
        Of masks where the detections have them, else of boxes.

    Raises:
        ValueError: there are no human masks, no detections, or both do not fit each other.
    """
    if gt_ann is None:
        raise ValueError(f'{path}: COCO results need human masks to be scored: --gt-ann JSON')
    results = read_detections(path)
    if not results:
        raise ValueError(f'{path}: holds no detections')
    gt = read_coco(gt_ann)
    if any('neg_category_ids' in image for image in gt['images']):
        raise ValueError(
            f'{gt_ann}: LVIS counts AP otherwise than COCO; evaluate with tools/test.py and give '
            'its JSON'
        )
    if path.name == ULTRALYTICS_RESULTS:
        results = with_ids_of(gt, results, path, gt_ann)
    kind = 'segm' if 'segmentation' in results[0] else 'bbox'
    source = f'{path} against {gt_ann}'
    if is_mixed(gt['annotations']):
        kept = human_images(gt)
        source += f', the {len(kept)} of {len(gt["images"])} images that humans have corrected'
        if not kept:
            raise ValueError(
                f'{gt_ann}: every image has a mask of a labeler; confirm whole images'
            )
        gt['images'] = [image for image in gt['images'] if image['id'] in kept]
        gt['annotations'] = [a for a in gt['annotations'] if a.get('image_id') in kept]
        results = [result for result in results if result['image_id'] in kept]
    scores = coco_ap(gt, results, str(gt_ann), (kind,))[kind]
    scores = {name: scores[name] for name in AP_NAMES}
    return Evaluation('COCO', {kind: scores}, None, source)


def with_ids_of(
    gt: Mapping[str, Any],
    results: Sequence[Mapping[str, Any]],
    path: str | Path,
    gt_ann: str | Path,
) -> list[dict[str, Any]]:
    """Ultralytics' detections with the ids of a COCO-style file.

    It names an image by its file's name without the ending, as a number where it is one, and
    numbers classes from 1 in the order of data.yaml (before version 8.3 from 0); on COCO itself
    they have COCO's ids.

    Args:
        gt: the file; its categories are in the order of data.yaml.
        results: the detections.
        path, gt_ann: names of both, for errors.

    Raises:
        ValueError: an image or a class is not in the file, or two images have the same name.
    """
    ids: dict[Hashable, Hashable] = {}
    for image in gt['images']:
        name = _stem(image_file_name(image))
        if name in ids:
            raise ValueError(
                f'{gt_ann}: images {ids[name]!r} and {image["id"]!r} are both called {name!r}, '
                f'and {path} tells images apart by their names alone; rename one'
            )
        ids[name] = image['id']
    categories = [category['id'] for category in gt.get('categories') or []]
    found = {result.get('category_id') for result in results}
    if len(categories) == 80 and max(categories, default=0) == 90:
        numbers = {each: each for each in categories}
    else:
        numbers = dict(enumerate(categories, start=0 if 0 in found else 1))
    renamed = []
    for place, result in enumerate(results):
        image, number = result.get('image_id'), result.get('category_id')
        if image not in ids:
            raise ValueError(
                f'{path}: entry {place} is of an image called {image!r}, which is not in {gt_ann}'
            )
        if number not in numbers:
            raise ValueError(
                f'{path}: entry {place} is of class number {number!r}, but {gt_ann} has '
                f'{len(categories)} categories; it needs those of data.yaml, in their order'
            )
        renamed.append({**result, 'image_id': ids[image], 'category_id': numbers[number]})
    return renamed


def _stem(name: Any) -> Hashable:
    stem = PurePosixPath(str(name).replace('\\', '/')).stem
    return int(stem) if stem.isnumeric() else stem
