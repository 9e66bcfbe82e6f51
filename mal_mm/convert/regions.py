"""Masks that come as a small picture and its place in the image."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..formats.region_rle import encode_region as _encode


def encode_region(
    region: np.ndarray, top: int, left: int, image_hw: tuple[int, int]
) -> dict[str, Any]:
    """RLE of a region, whose part beyond the image is cut off.

    Args:
        region: (h, w) bool.
        top, left: image pixel of its first one; may lie outside.
        image_hw: height and width of the image.
    """
    height, width = image_hw
    cut = region[max(-top, 0) : max(height - top, 0), max(-left, 0) : max(width - left, 0)]
    if not cut.size:
        cut = np.zeros((0, 0), dtype=bool)
        return _encode(cut, 0, 0, image_hw)
    return _encode(cut, max(top, 0), max(left, 0), image_hw)
