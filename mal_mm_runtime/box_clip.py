"""What of a mask lies beyond its box is cut off."""

from __future__ import annotations

from math import ceil, floor

import numpy as np

# the released masks reach up to a pixel beyond their box on the right and below
RELEASED = 'released'


def clip_to_box(
    region: np.ndarray, corner: tuple[int, int], box_xyxy: np.ndarray, tolerance: float
) -> np.ndarray:
    """Keep the pixels whose middle lies in the box, or that are the only ones to touch it.

    Args:
        region: (h, w) bool.
        corner: image row and column of its first pixel.
        box_xyxy: (4,) image pixels, unrounded.
        tolerance: image pixels that every side of the box is moved outward first.

    Returns:
        (h, w) bool, a part of `region`.
    """
    clipped = np.zeros_like(region)
    x0, y0, x1, y1 = map(float, box_xyxy)
    window = tuple(
        slice(max(low - first, 0), max(high - first, 0))
        for first, (low, high) in zip(
            corner,
            (_pixels(y0, y1, tolerance), _pixels(x0, x1, tolerance)),
            strict=True,
        )
    )
    clipped[window] = region[window]
    return clipped


def _pixels(low: float, high: float, tolerance: float) -> tuple[int, int]:
    """First and last + 1 pixel whose middle lies in [low, high]."""
    first, last = ceil(low - tolerance - 0.5), floor(high + tolerance + 0.5)
    if last <= first:  # narrower than a pixel
        first, last = floor(low), ceil(high)
    return first, last


def fill_box(box_xyxy: np.ndarray, image_hw: tuple[int, int]) -> tuple[np.ndarray, int, int]:
    """The box itself as a mask.

    Args:
        box_xyxy: (4,) image pixels.
        image_hw: height and width of the image.

    Returns:
        (h, w) bool region, its first row and column; at least one pixel when the box meets the
        image.
    """
    height, width = image_hw
    left, top = max(int(box_xyxy[0]), 0), max(int(box_xyxy[1]), 0)
    right, bottom = min(int(np.ceil(box_xyxy[2])), width), min(int(np.ceil(box_xyxy[3])), height)
    # a side may be too small for its end to be another number than its start
    if box_xyxy[2] > 0 and left < width:
        right = max(right, left + 1)
    if box_xyxy[3] > 0 and top < height:
        bottom = max(bottom, top + 1)
    return np.ones((max(bottom - top, 0), max(right - left, 0)), dtype=bool), top, left
