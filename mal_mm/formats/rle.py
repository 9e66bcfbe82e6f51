"""Run-length encoded masks as COCO files hold them.

An RLE is `{'size': [height, width], 'counts': ...}`: run lengths down the columns, background
first. `counts` is a list of numbers (uncompressed) or a string (compressed; pycocotools wants it
as str or bytes, JSON as str).

pycocotools believes what it is given: it never returns from the IoU or intersection of two masks
whose runs cover different numbers of pixels, and it reads beyond the end of a string that stops
in the middle of a number. Hence every RLE from a file passes `check_rle` here before it sees it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeGuard

import numpy as np
from pycocotools import mask as mask_utils

from .errors import AnnotationError, shorten
from .image_size import MAX_PIXELS, stated_size

# A compressed count is a series of characters '0'..'o', five bits each, lowest first; all but
# its last have the sixth bit set, that is, lie at 'P' (80) or above.
_FIRST, _CONTINUED, _LAST = 48, 80, 111
_LOW_BITS = np.zeros(256, dtype=np.int64)
_LOW_BITS[_FIRST : _LAST + 1] = np.arange(64) & 31
_SIGNED_BITS = np.where(_LOW_BITS >= 16, _LOW_BITS - 32, _LOW_BITS)
_MAX_CHARACTERS = 7  # 35 bits, more than pycocotools' 32-bit counts can hold

# pycocotools keeps polygon vertices as 32-bit integers, five to the pixel, and walks every edge.
_MAX_COORDINATE = 1e6


def annotation_to_rle(
    annotation: Mapping[str, Any], height: int | None = None, width: int | None = None
) -> dict[str, Any] | None:
    """`segmentation_to_rle` of a COCO annotation; its errors name the annotation's id."""
    try:
        return segmentation_to_rle(annotation.get('segmentation'), height, width)
    except AnnotationError as error:
        raise AnnotationError(f'annotation {annotation.get("id")!r}: {error}') from None


def segmentation_to_rle(
    segmentation: dict | list | None, height: int | None = None, width: int | None = None
) -> dict[str, Any] | None:
    """Bring a segmentation, whatever its form, to compressed RLE.

    Args:
        segmentation: polygons [[x1, y1, x2, y2, ...], ...], uncompressed or compressed RLE.
        height: of the image in pixels; None: unknown, which polygons cannot do with.
        width: likewise.

    Returns:
        RLE of the whole image as pycocotools takes it, checked; None where there is no mask (no
        segmentation, an empty one, or polygons of fewer than three points only).

    Raises:
        AnnotationError: the segmentation is damaged or of another size than the image.
    """
    if not segmentation:
        return None
    if isinstance(segmentation, dict):
        width, height = stated_size({'width': width, 'height': height})
    else:  # the error about a size that polygons cannot do with shows what was given
        sides = stated_size({'width': width, 'height': height})
        width, height = (
            given if known is None else known
            for given, known in zip((width, height), sides, strict=True)
        )
    if isinstance(segmentation, dict):
        return _checked_rle(segmentation, height, width)
    return _polygons_to_rle(segmentation, height, width)


def rle_to_str_counts(rle: Mapping[str, Any]) -> dict[str, Any]:
    """An RLE as JSON can hold it: plain integers in `size`, a str in `counts`.

    Args:
        rle: compressed (bytes or str) or uncompressed (list) RLE.

    Returns:
        A new dict of `size` [height, width] and `counts`, compressed.
    """
    height, width = (int(n) for n in rle['size'])
    counts = rle['counts']
    if not isinstance(counts, (str, bytes)):
        counts = _compress(np.asarray(counts), height, width)['counts']
    return {
        'size': [height, width],
        'counts': counts.decode('ascii') if isinstance(counts, bytes) else counts,
    }


def check_rle(rle: Mapping[str, Any]) -> np.ndarray:
    """Make sure that pycocotools can be given an RLE.

    Args:
        rle: compressed or uncompressed RLE.

    Returns:
        (R,) int64 run lengths, background first; their sum is height * width.

    Raises:
        AnnotationError: size or counts are damaged, or do not fit each other.
    """
    height, width = _size(rle)
    counts = rle.get('counts')
    runs = _read_compressed(counts) if isinstance(counts, (str, bytes)) else _read_list(counts)
    if runs.min(initial=0) < 0:
        raise AnnotationError('the RLE holds a negative run; it is damaged')
    covered = int(runs.sum())
    if covered != height * width:
        raise AnnotationError(
            f'the RLE covers {covered} pixels, its size {height} x {width} (height x width) has '
            f'{height * width}; it is damaged or its size is wrong'
        )
    return runs


def rle_from_edges(edges: np.ndarray, height: int, width: int) -> dict[str, Any]:
    """Encode a mask given by the places where it changes.

    Args:
        edges: (E,) ascending positions in [0, height * width], counted down the columns, at which
            the mask starts and stops in turn. Where several fall on one place each pair cancels.
        height: of the image in pixels.
        width: likewise.

    Returns:
        Compressed RLE without empty runs (pycocotools stops early when two masks have one each at
        the same place).
    """
    ends = np.append(edges, height * width)
    runs = ends.copy()
    runs[1:] -= ends[:-1]
    if runs[1:].all():
        return _compress(runs, height, width)
    places, how_often = np.unique(edges, return_counts=True)
    places = places[(how_often % 2 == 1) & (places < height * width)]
    return _compress(np.diff(places, prepend=0, append=height * width), height, width)


def decode_tight(rle: Mapping[str, Any]) -> tuple[np.ndarray, int, int]:
    """Decode a mask on its tight box only: (w, h) uint8 of 0 and 1, left, top."""
    runs = check_rle(rle)
    height = int(rle['size'][0])
    stops = np.cumsum(runs)[1::2]
    lengths = runs[1::2]
    if not lengths.all():
        stops, lengths = stops[lengths > 0], lengths[lengths > 0]
    if not lengths.size:
        return np.zeros((0, 0), dtype=np.uint8), 0, 0

    columns, rows = np.divmod(stops - lengths, height)
    left, right = int(columns[0]), int(stops[-1] - 1) // height + 1
    top, bottom = int(rows.min()), int((rows + lengths).max())
    if bottom > height:  # a run that goes on in the next column
        top, bottom = 0, height
    w, h = right - left, bottom - top

    # Without the rows above and below, runs keep their length and only move together.
    starts = (columns - left) * h + rows - top
    edges = np.empty(2 * starts.size + 1, dtype=np.int64)
    edges[:-1:2], edges[1::2], edges[-1] = starts, starts + lengths, w * h
    runs = edges.copy()
    runs[1:] -= edges[:-1]
    values = np.zeros(runs.size, dtype=np.uint8)
    values[1::2] = 1
    pixels = np.repeat(values, runs)
    return pixels.reshape(w, h), left, top


def _checked_rle(rle: Mapping[str, Any], height: int | None, width: int | None) -> dict:
    runs = check_rle(rle)
    size = _size(rle)
    if size != (
        height if height is not None else size[0],
        width if width is not None else size[1],
    ):
        raise AnnotationError(
            f'the mask is {size[0]} x {size[1]} (height x width), its image {height} x {width}; '
            'masks and images come from different versions of the data'
        )
    if not runs[1:].all():
        return rle_from_edges(np.cumsum(runs)[:-1], *size)
    if isinstance(rle['counts'], (str, bytes)):
        return {'size': list(size), 'counts': rle['counts']}
    return _compress(runs, *size)


def _size(rle: Mapping[str, Any]) -> tuple[int, int]:
    size = rle.get('size')
    if (
        not isinstance(size, (list, tuple))
        or len(size) != 2
        or not all(isinstance(n, (int, np.integer)) and n > 0 for n in size)
        or size[0] * size[1] >= 2**32
    ):
        raise AnnotationError(f"an RLE's size must be [height, width], got {shorten(size)}")
    return int(size[0]), int(size[1])


def _read_compressed(counts: str | bytes) -> np.ndarray:
    try:
        counts = counts.encode('ascii') if isinstance(counts, str) else counts
    except UnicodeEncodeError:
        counts = b'\x00'
    if not counts or min(counts) < _FIRST or max(counts) > _LAST or counts[-1] >= _CONTINUED:
        raise AnnotationError('the RLE string is cut short or not in the COCO encoding')
    characters = np.frombuffer(counts, dtype=np.uint8)
    ends = np.flatnonzero(characters < _CONTINUED)
    lengths = np.diff(ends, prepend=-1)
    if lengths.max() > _MAX_CHARACTERS:
        raise AnnotationError('the RLE string holds a number beyond 32 bits; it is damaged')
    runs = _SIGNED_BITS[characters[ends]]
    longer, taken = np.flatnonzero(lengths > 1), 1
    while longer.size:  # from the highest five bits of each number down to its lowest
        runs[longer] = (runs[longer] << 5) | _LOW_BITS[characters[ends[longer] - taken]]
        taken += 1
        longer = longer[lengths[longer] > taken]
    # From the fourth on, each is stored as the difference to the one two before.
    runs[1::2] = np.cumsum(runs[1::2])
    runs[2::2] = np.cumsum(runs[2::2])
    return runs


def _read_list(counts: object) -> np.ndarray:
    try:
        runs = np.asarray(counts)
    except ValueError:  # a ragged list
        runs = np.empty(0)
    if runs.ndim != 1 or runs.size == 0 or runs.dtype.kind not in 'iu':
        raise AnnotationError(
            f"an RLE's counts must be a string or a list of whole numbers, got {shorten(counts)}"
        )
    return runs.astype(np.int64)


def _compress(runs: np.ndarray, height: int, width: int) -> dict:
    return mask_utils.frPyObjects({'size': [height, width], 'counts': runs}, height, width)


def _is_side(value: int | None) -> TypeGuard[int]:
    return isinstance(value, (int, np.integer)) and value > 0


def _polygons_to_rle(polygons: object, height: int | None, width: int | None) -> dict | None:
    if not isinstance(polygons, list) or not all(isinstance(p, list) for p in polygons):
        raise AnnotationError(
            'segmentation must be an RLE object or a list of polygons [[x1, y1, x2, y2, ...]], '
            f'got {shorten(polygons)}'
        )
    if not (_is_side(height) and _is_side(width)):
        raise AnnotationError(
            f"polygons need the image's height and width in whole pixels, got {height!r} and "
            f'{width!r}; add them to the image'
        )
    if height * width >= MAX_PIXELS:
        raise AnnotationError(
            f"a mask cannot have the {height} x {width} pixels that its image's record states"
        )
    for polygon in polygons:
        # The chained comparison lets neither NaN nor infinity through; a string raises.
        try:
            in_reach = all(-_MAX_COORDINATE <= v <= _MAX_COORDINATE for v in polygon)
        except TypeError:
            in_reach = False
        if not in_reach or len(polygon) % 2:
            raise AnnotationError(
                'a polygon must be an even number of finite coordinates x1, y1, x2, y2, ... near '
                f'the image, got {shorten(polygon)}'
            )
    # Points and lines enclose nothing, and pycocotools would take four numbers for a box.
    areas = [polygon for polygon in polygons if len(polygon) >= 6]
    if not areas:
        return None
    rles = mask_utils.frPyObjects(areas, height, width)
    return rles[0] if len(rles) == 1 else mask_utils.merge(rles)
