"""Masks made from the box alone: what a learned mask must beat.

Pixel (row, column) covers [column, column + 1) x [row, row + 1), as in COCO; it belongs to a mask
when its centre (column + 0.5, row + 0.5) lies inside the shape.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from mal_mm.formats import rle_from_edges


def box_fill_rle(box_xywh: Sequence[float], height: int, width: int) -> dict[str, Any]:
    """The box itself as a mask.

    Its left and top edge are inside, its right and bottom edge are not, so that boxes side by
    side share no pixel.

    Args:
        box_xywh: left, top, width, height in image pixels, finite; may reach beyond the image.
        height: of the image in pixels.
        width: likewise.

    Returns:
        Compressed RLE of the whole image; empty if no pixel's centre lies inside.
    """
    x, y, w, h = box_xywh
    left, right = _first_centre(x, width), _first_centre(x + w, width)
    top, bottom = _first_centre(y, height), _first_centre(y + h, height)
    columns = np.arange(left, right)
    tops, bottoms = np.full((2, columns.size), [[top], [bottom]])
    return _columns_to_rle(columns, tops, bottoms, height, width)


def inscribed_ellipse_rle(box_xywh: Sequence[float], height: int, width: int) -> dict[str, Any]:
    """The ellipse that touches the middle of each side of the box, as a mask.

    Args:
        box_xywh: left, top, width, height in image pixels, finite; may reach beyond the image.
        height: of the image in pixels.
        width: likewise.

    Returns:
        Compressed RLE of the whole image; a pixel whose centre lies on the outline is outside.
    """
    x, y, w, h = box_xywh
    left, right = _first_centre(x, width), _first_centre(x + w, width)
    columns = np.arange(left, right)
    across = (columns + 0.5 - (x + w / 2)) / (w / 2)  # -1 at the left end, 1 at the right
    half_heights = h / 2 * np.sqrt(np.maximum(1 - across**2, 0))
    middle = y + h / 2
    tops = np.floor(middle - half_heights - 0.5) + 1
    bottoms = np.ceil(middle + half_heights - 0.5)
    return _columns_to_rle(columns, tops, bottoms, height, width)


def _first_centre(line: float, size: int) -> int:
    """First pixel whose centre is on or beyond a line, in [0, size]."""
    return min(max(math.ceil(line - 0.5), 0), size)


def _columns_to_rle(
    columns: np.ndarray, tops: np.ndarray, bottoms: np.ndarray, height: int, width: int
) -> dict[str, Any]:
    """Encode one stretch of rows [top, bottom) in each of some ascending columns."""
    stretches = np.stack([tops, bottoms], axis=1).clip(0, height)
    filled = stretches[:, 1] > stretches[:, 0]
    edges = (columns[:, None] * height + stretches)[filled].astype(np.int64)
    return rle_from_edges(edges.ravel(), height, width)
