"""The data of the review page: an index of all boxes and their masks, as files of JavaScript.

A page that is opened from the disk may not fetch files, but it may load scripts. Hence each file
is one call, such as `MalReview.addBoxes({...})`, whose argument is JSON. Boxes are sorted by
image; the index is loaded whole, the masks portion by portion as they are looked at.

Letters: N boxes, I images that have boxes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from mal_mm.formats import mal_fields
from mal_mm.formats.review_marks import MARKS, id_text, mask_digest

from .photos import Photo
from .summary import ReviewData, as_key

BOXES_IN_FILE = 10_000
IMAGES_IN_FILE = 20_000
# letters of run lengths in a file of masks: loaded in some milliseconds, few enough files
MASK_LETTERS = 100_000
# flags that the page makes of an annotation, before those that `mal_flag` names
NO_MASK, SKIPPED, IGNORED, CROWD, BAD_BOX, MASK_DAMAGED = range(6)
OWN_FLAGS = (
    'no mask',
    'skipped',
    'left out of training',
    'crowd',
    'unusable box',
    'damaged mask',
)
MAX_FLAGS = 30  # they share a whole number of 32 bits


def write_index(
    data: ReviewData, photos: Sequence[Photo], image_keys: Sequence[Any], folder: Path
) -> dict[str, Any]:
    """Write all files of the index.

    Args:
        data: the annotations.
        photos: I, where the picture of each image is.
        image_keys: I, keys of `data.images` or of images that the file lacks.
        folder: existing, empty.

    Returns:
        What the page has to know before it loads them, as JSON can hold it: the numbers of boxes,
        images and files, the flags, the classes, and `identity`, which tells this file's boxes
        and masks from any other's.
    """
    N = len(data.annotations)
    index_of = {key: i for i, key in enumerate(image_keys)}
    image = np.array(
        [index_of[as_key(a.get('image_id'))] for a in data.annotations], dtype=np.int64
    )
    order = np.argsort(image, kind='stable')
    classes, class_index = _classes(data)
    flag_names, flags = _flags(data)
    digests = [mask_digest(a.get('segmentation')) for a in data.annotations]
    ids = [id_text(a.get('id')) for a in data.annotations]
    starts = _mask_starts(data, order)

    for first in range(0, N, BOXES_IN_FILE):
        rows = order[first : first + BOXES_IN_FILE]
        some = rows.tolist()
        _write(
            folder / f'boxes-{first // BOXES_IN_FILE:05d}.js',
            'addBoxes',
            {
                'first': first,
                # texts without line breaks: one string of them is read faster than a list
                'ids': '\n'.join(ids[i] for i in some),
                'digests': '\n'.join(digests[i] for i in some),
                'place': some,
                'image': image[rows].tolist(),
                'category': class_index[rows].tolist(),
                'box': _rounded(data.boxes[rows].reshape(-1), 2),
                'quality': _rounded(data.quality[rows], 4),
                'iou': _rounded(data.iou[rows], 4) if data.with_human else 0,
                'fill': _rounded(data.fill[rows], 3),
                'flags': flags[rows].tolist(),
                'mark': [_mark_number(data.annotations[i]) for i in some],
            },
        )
    for first in range(0, len(photos), IMAGES_IN_FILE):
        some = photos[first : first + IMAGES_IN_FILE]
        _write(
            folder / f'images-{first // IMAGES_IN_FILE:05d}.js',
            'addImages',
            {
                'first': first,
                'names': [photo.name for photo in some],
                'width': [photo.width or 0 for photo in some],
                'height': [photo.height or 0 for photo in some],
                'src': [photo.src or '' for photo in some],
                'problem': {i: photo.problem for i, photo in enumerate(some) if photo.problem},
            },
        )
    for number, (first, stop) in enumerate(pairwise([*starts, N])):
        some = order[first:stop].tolist()
        _write(
            folder / f'masks-{number:05d}.js',
            'addMasks',
            {
                'number': number,
                'masks': [data.masks[i] or '' for i in some],
                'human': [data.human_masks[i] or '' for i in some] if data.with_human else 0,
                'notes': {k: _note(data, i) for k, i in enumerate(some) if _note(data, i)},
            },
        )
    return {
        'identity': _identity(ids, digests),
        'boxes': N,
        'images': len(photos),
        'boxFiles': -(-N // BOXES_IN_FILE),
        'imageFiles': -(-len(photos) // IMAGES_IN_FILE),
        'maskStarts': starts,
        'classes': classes,
        'flags': flag_names,
        'withHuman': data.with_human,
    }


def _classes(data: ReviewData) -> tuple[list[str], np.ndarray]:
    """Names of the categories that occur, in the file's order, and the place of each box's."""
    keys = [as_key(a.get('category_id')) for a in data.annotations]
    present = set(keys)
    used = [key for key in data.categories if key in present]
    used += sorted((present - set(used)), key=str)
    place = {key: i for i, key in enumerate(used)}
    names = [data.categories.get(key, f'unknown category {key}') for key in used]
    return names, np.array([place[key] for key in keys], dtype=np.int64)


def _flags(data: ReviewData) -> tuple[list[str], np.ndarray]:
    """Names of the flags, and (N,) whole numbers with a bit for each."""
    names = list(OWN_FLAGS)
    flags = np.zeros(len(data.annotations), dtype=np.int64)
    for i, annotation in enumerate(data.annotations):
        bits = 0
        for bit, applies in (
            (NO_MASK, not data.has_mask[i]),
            (SKIPPED, bool(mal_fields.skip_reason(annotation))),
            (IGNORED, bool(annotation.get(mal_fields.IGNORE))),
            (CROWD, bool(annotation.get('iscrowd'))),
            (BAD_BOX, not np.isfinite(data.box_area[i])),
            (MASK_DAMAGED, i in data.mask_problems),
        ):
            bits |= applies << bit
        if mal_fields.flag_of(annotation):
            name = str(mal_fields.flag_of(annotation))
            if name not in names and len(names) == MAX_FLAGS:
                name = 'another flag'
                names[-1] = name
            if name not in names:
                names.append(name)
            bits |= 1 << names.index(name)
        flags[i] = bits
    return names, flags


def _mask_starts(data: ReviewData, order: np.ndarray) -> list[int]:
    """First box of each file of masks."""
    starts, letters = [], MASK_LETTERS
    for place, i in enumerate(order.tolist()):
        if letters >= MASK_LETTERS:
            starts.append(place)
            letters = 0
        letters += len(data.masks[i] or '') + len(data.human_masks[i] or '') + 4
    return starts


def _mark_number(annotation: dict) -> int:
    """0 for none, otherwise the place in MARKS from 1."""
    mark = mal_fields.review_of(annotation)
    return MARKS.index(mark) + 1 if mark in MARKS else 0


def _note(data: ReviewData, i: int) -> str:
    reason = mal_fields.skip_reason(data.annotations[i]) or data.mask_problems.get(i)
    return str(reason) if reason else ''


def _identity(ids: Sequence[str], digests: Sequence[str]) -> str:
    digest = hashlib.sha256()
    for annotation_id, mask in zip(ids, digests, strict=True):
        digest.update(f'{annotation_id} {mask}\n'.encode())
    return digest.hexdigest()[:16]


def _rounded(values: np.ndarray, digits: int) -> list[float | None]:
    """JSON has no word for NaN: null."""
    known = np.isfinite(values)
    rounded = np.round(np.where(known, values, 0), digits).tolist()
    return [v if good else None for v, good in zip(rounded, known.tolist(), strict=True)]


def script_json(value: Any) -> str:
    """JSON that may stand in a script, in a file or between tags of a page."""
    text = json.dumps(value, separators=(',', ':'), allow_nan=False)
    return text.replace('<', '\\u003c')


def _write(path: Path, call: str, value: Any) -> None:
    path.write_text(f'MalReview.{call}({script_json(value)});\n', encoding='ascii')
