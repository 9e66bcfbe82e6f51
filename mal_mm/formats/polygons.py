"""Masks as polygons: outlines with holes, joined into one ring where a format has but one.

Ring: (n, 2) float64 x, y in image pixels, not closed. Piece: a list of rings, the outline first,
then the holes in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np
from pycocotools import mask as mask_utils

from .rle import decode_tight, segmentation_to_rle

Piece = list[np.ndarray]
# a joined ring that covers less of the polygons it was made of is traced anew: its parts overlap
_SAME = 0.98
# up to this tolerance polygons draw the same mask again
_EXACT = 0.25


def mask_to_polygons(
    region: np.ndarray, top: int, left: int, tolerance: float
) -> list[list[float]]:
    """Outlines of a mask as COCO polygons, which cannot hold holes: they are cut in from the edge.

    Args:
        region: (h, w) bool.
        top, left: image pixel of the region's first one.
        tolerance: how far the polygon may stray from the outline, in pixels; up to 0.25 it draws
            the same mask again.

    Returns:
        [x0, y0, x1, y1, ...] of each piece (pixels that touch, at corners too), at least three
        points; image pixels.
    """
    return [flat(keyhole(piece)) for piece in trace_region(region, top, left, tolerance)]


def trace(rle: dict[str, Any], tolerance: float) -> list[Piece]:
    """Outlines of a mask along the edges of its pixels.

    Args:
        rle: compressed COCO RLE.
        tolerance: how far a polygon may stray from the outline, in pixels.

    Returns:
        The pieces; none of an empty mask.
    """
    columns, left, top = decode_tight(rle)
    return trace_region(columns.T, top, left, tolerance)


def trace_region(region: np.ndarray, top: int, left: int, tolerance: float) -> list[Piece]:
    """`trace` of a mask that is known on a rectangle; see `mask_to_polygons`."""
    if not region.any():
        return []
    # The corners of pixels and the middles between them as a picture of its own: a corner belongs
    # to the mask if one of its pixels does. Its border then runs along the pixels' edges, where
    # cv2 on the mask itself would go through the centres of the border pixels.
    h, w = region.shape
    corners = np.zeros((2 * h + 1, 2 * w + 1), dtype=np.uint8)
    corners[1::2, 1::2] = region
    corners = cv2.dilate(corners, np.ones((3, 3), np.uint8))
    outlines, tree = cv2.findContours(corners, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    pieces: dict[int, Piece] = {}
    for place, parent in enumerate(tree[0][:, 3]):
        if parent < 0:
            pieces[place] = [_simplified(outlines[place], tolerance, left, top)]
    for place, parent in enumerate(tree[0][:, 3]):
        if parent >= 0:
            ring = _simplified(outlines[place], tolerance, left, top)
            if _area(ring):
                pieces[int(parent)].append(ring)
    return list(pieces.values())


def _simplified(outline: np.ndarray, tolerance: float, left: int, top: int) -> np.ndarray:
    for factor in (2 * tolerance, tolerance, tolerance / 2, 0):  # a sliver may lose its inside
        ring = cv2.approxPolyDP(outline, factor, closed=True)[:, 0].astype(np.float64)
        if len(ring) >= 3 and _area(ring):
            break
    return ring / 2 + (left, top)


def _area(ring: np.ndarray) -> float:
    x, y = ring.T
    return abs(float(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1)))) / 2


def trace_well(rle: dict[str, Any], tolerance: float, least: float = 0.9) -> list[Piece]:
    """`trace`, with less tolerance for small masks, which would lose their shape.

    Args:
        rle: compressed COCO RLE.
        tolerance: see `trace`; halved as long as the polygons have a smaller IoU than `least`.
        least: in [0, 1].
    """
    while True:
        pieces = trace(rle, tolerance)
        polygons = [flat(keyhole(piece)) for piece in pieces]
        if tolerance <= _EXACT or polygon_iou(polygons, rle) >= least:
            return pieces
        tolerance /= 2


def keyhole(piece: Piece) -> np.ndarray:
    """One ring that goes into each further ring and back along the same line.

    Filled by the even-odd rule, as pycocotools and OpenCV fill, holes stay open and the line is
    without width. Rings of several pieces may be given too.

    Args:
        piece: the rings, at least one.

    Returns:
        (n, 2) the ring.
    """
    joined, rest = piece[0], list(piece[1:])
    while rest:
        gaps = [((joined[:, None] - ring[None]) ** 2).sum(2) for ring in rest]
        nearest = int(np.argmin([gap.min() for gap in gaps]))
        ring, gap = rest.pop(nearest), gaps[nearest]
        at, start = np.unravel_index(int(gap.argmin()), gap.shape)
        there = np.roll(ring, -int(start), axis=0)
        joined = np.concatenate([joined[: at + 1], there, there[:1], joined[at:]])
    return joined


def one_ring(
    rle: dict[str, Any], polygons: list[list[float]] | None, tolerance: float
) -> np.ndarray | None:
    """A mask as one ring, whatever parts and holes it has.

    Args:
        rle: the mask.
        polygons: what the annotation says, if it says polygons; taken as they are.
        tolerance: see `trace`.

    Returns:
        (n, 2); None of an empty mask.
    """
    rings = [ring_of(polygon) for polygon in polygons or () if len(polygon) >= 6]
    if rings:
        ring = keyhole(rings)
        if len(rings) == 1 or polygon_iou([flat(ring)], rle) >= _SAME:
            return ring
    rings = [ring for piece in trace_well(rle, tolerance) for ring in piece]
    return keyhole(rings) if rings else None


def ring_of(polygon: list[float]) -> np.ndarray:
    """[x0, y0, x1, y1, ...] -> (n, 2)."""
    return np.asarray(polygon, dtype=np.float64).reshape(-1, 2)


def flat(ring: np.ndarray, digits: int = 2) -> list[float]:
    """(n, 2) -> [x0, y0, x1, y1, ...]."""
    return ring.round(digits).ravel().tolist()


def polygon_iou(polygons: list[list[float]], rle: Mapping[str, Any]) -> float:
    """IoU of polygons, drawn by pycocotools, with a mask; 0 without polygons."""
    drawn = segmentation_to_rle(polygons, *rle['size'])
    return 0.0 if drawn is None else rle_iou(drawn, rle)


def rle_iou(a: Mapping[str, Any], b: Mapping[str, Any]) -> float:
    """IoU of two checked RLEs of one size; 1 where both are empty."""
    common = int(mask_utils.area(mask_utils.merge([a, b], intersect=True)))
    union = int(mask_utils.area(a)) + int(mask_utils.area(b)) - common
    return common / union if union else 1.0


def tight_box(rle: Mapping[str, Any]) -> list[float]:
    """[x, y, width, height] of a mask that is not empty."""
    columns, left, top = decode_tight(rle)
    return [float(left), float(top), *map(float, columns.shape)]
