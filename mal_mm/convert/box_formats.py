"""Boxes of COCO-style files that are not x, y, width, height in pixels."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..formats.image_size import stated_size
from .findings import Findings

BOX_FORMATS = ('xywh', 'xyxy', 'cxcywh', 'xywh-shares', 'xyxy-shares', 'cxcywh-shares')
# of the boxes: a few lie outside in any file
_MOST = 0.99
# of the boxes: loose ones may reach beyond their image, boxes in another form do in masses
_ENOUGH = 0.8


def to_xywh(data: dict[str, Any], box_format: str, findings: Findings) -> dict[str, Any]:
    """Bring all boxes to x, y, width, height in pixels, in place.

    Args:
        data: COCO-style object.
        box_format: one of BOX_FORMATS, or 'auto': as they look, which is said.
        findings: gets the guess, and boxes whose image has no size.

    Raises:
        ValueError: another format.
    """
    if box_format not in (*BOX_FORMATS, 'auto'):
        raise ValueError(f'--box-format must be auto or {", ".join(BOX_FORMATS)}: {box_format!r}')
    images = {str(image.get('id')): image for image in data['images']}
    usable, read, stated = [], [], []
    for annotation in data['annotations']:
        box = annotation.get('bbox')
        if isinstance(box, list) and len(box) == 4 and all(type(v) in (int, float) for v in box):
            width, height = stated_size(images.get(str(annotation.get('image_id')), {}))
            usable.append(annotation)
            read.append([float(min(max(v, -1e300), 1e300)) for v in box])
            stated.append((width or np.nan, height or np.nan))
    if not usable:
        return data
    boxes, sizes = np.array(read), np.array(stated, dtype=np.float64)
    if box_format == 'auto':
        box_format = guess_box_format(boxes, sizes)
        if box_format != 'xywh':
            findings.note(f'boxes look like {box_format} and are read so; --box-format decides')
    if box_format == 'xywh':
        return data
    form, _, shares = box_format.partition('-')
    if shares:
        boxes = boxes * np.tile(sizes, 2)
    if form == 'xyxy':
        boxes[:, 2:] -= boxes[:, :2]
    elif form == 'cxcywh':
        boxes[:, :2] -= boxes[:, 2:] / 2
    for annotation, box in zip(usable, boxes.tolist(), strict=True):
        if any(v != v for v in box):
            findings.lose('share of an image without a size', f'annotation {annotation.get("id")}')
            continue
        annotation['bbox'] = [round(v, 4) for v in box]
        if shares and not annotation.get('segmentation'):
            annotation['area'] = box[2] * box[3]
    return data


def guess_box_format(boxes: np.ndarray, sizes_wh: np.ndarray) -> str:
    """What boxes look like: 'xywh' unless that fits badly and another form fits all.

    Args:
        boxes: (n, 4) as they stand in the file.
        sizes_wh: (n, 2) of their images; NaN where not known.
    """
    with np.errstate(invalid='ignore', over='ignore'):
        if len(boxes) > 1 and _all(((boxes >= 0) & (boxes <= 1)).all(axis=1)):
            unit = np.ones_like(sizes_wh)
            return f'{_form(boxes, unit)}-shares'
        return _form(boxes, sizes_wh)


def _form(boxes: np.ndarray, sizes: np.ndarray) -> str:
    slack = np.where(sizes > 2, 1.0, 0.01)
    first, second = boxes[:, :2], boxes[:, 2:]
    if (~(first + second > sizes + slack).any(axis=1)).mean() >= _ENOUGH:
        return 'xywh'
    if _all(((second > first) & ~(second > sizes + slack)).all(axis=1)):
        return 'xyxy'
    half = second / 2
    if _all(((first - half >= -slack) & ~(first + half > sizes + slack)).all(axis=1)):
        return 'cxcywh'
    return 'xywh'


def _all(fits: Any) -> bool:
    return bool(fits.mean() >= _MOST)
