"""torch's antialiased bicubic resize of 8-bit images, pixel for pixel, without torch.

`mal_mm` cuts crops with that kernel by default, since it is quick in torch. It works in whole
numbers: weights are rounded to 16 bits, and each of the two passes rounds to 8 bits.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

# where the cubic filter ends, in pixels of the smaller image, and its shape
_REACH = 2.0
_A = -0.5


def resize_quick(content: np.ndarray, size: int) -> np.ndarray:
    """(h, w, 3) uint8 -> (size, size, 3)."""
    for _ in range(2):  # columns first, then rows
        content = _resize_rows(np.ascontiguousarray(content.transpose(1, 0, 2)), size)
    return content


def _resize_rows(content: np.ndarray, size: int) -> np.ndarray:
    if len(content) == size:
        return content
    places, weights, precision = _taps(len(content), size)
    total = np.full((size, *content.shape[1:]), 1 << (precision - 1), dtype=np.int32)
    for place, weight in zip(places, weights, strict=True):
        total += content[place] * weight[:, None, None]
    return (total >> precision).clip(0, 255).astype(np.uint8)


@lru_cache(64)
def _taps(length: int, size: int) -> tuple[np.ndarray, np.ndarray, int]:
    """(K, size) places that an output reads, their int32 weights, and those weights' unit."""
    scale = length / size
    stretch = max(scale, 1.0)
    centres = scale * (np.arange(size) + 0.5)
    low = np.maximum((centres - _REACH * stretch + 0.5).astype(np.int64), 0)
    high = np.minimum((centres + _REACH * stretch + 0.5).astype(np.int64), length)
    places = low + np.arange(int((high - low).max()))[:, None]
    weights = _cubic((places - centres + 0.5) / stretch) * (places < high)
    weights /= weights.sum(0)
    precision = 0
    while precision < 22 and int(0.5 + weights.max() * (1 << (precision + 1))) < 1 << 15:
        precision += 1
    weights *= 1 << precision
    rounded = (weights + np.copysign(0.5, weights)).astype(np.int32)
    return np.minimum(places, length - 1), rounded, precision


def _cubic(x: np.ndarray) -> np.ndarray:
    x = np.abs(x)
    near = ((_A + 2) * x - (_A + 3)) * x * x + 1
    far = (((x - 5) * x + 8) * x - 4) * _A
    return np.where(x < 1, near, np.where(x < 2, far, 0))
