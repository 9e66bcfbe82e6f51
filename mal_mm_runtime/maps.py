"""Maps of probabilities as numpy arrays: what the stages share.

N maps of s x s cells. Each function gives what its namesake in torch gives.
"""

from __future__ import annotations

import cv2
import numpy as np


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """Of any shape, float32, without overflow."""
    return (0.5 * (1 + np.tanh(0.5 * logits))).astype(np.float32)


def logit(probs: np.ndarray) -> np.ndarray:
    """Inverse of `sigmoid`, for probabilities in (0, 1)."""
    return np.log(probs / (1 - probs)).astype(np.float32)


def resize_maps(maps: np.ndarray, size: int) -> np.ndarray:
    """(N, s, s) -> (N, size, size), bilinear without antialiasing, half-pixel centres."""
    if maps.shape[-1] == size:
        return maps
    resized = [cv2.resize(each, (size, size), interpolation=cv2.INTER_LINEAR) for each in maps]
    return np.stack(resized)


def draw_box_masks(crop_boxes: np.ndarray, crop_size: int, size: int) -> np.ndarray:
    """`mal_mm.geometry.draw_box_masks`: (N, 4) boxes -> (N, size, size) share inside the box."""
    boxes = crop_boxes.astype(np.float32) * np.float32(size / crop_size)
    cells = np.arange(size, dtype=np.float32)

    def cover(low: np.ndarray, high: np.ndarray) -> np.ndarray:
        ends = np.minimum(cells + 1, high[:, None]) - np.maximum(cells, low[:, None])
        return np.maximum(ends, 0)

    columns = cover(boxes[:, 0], boxes[:, 2])
    rows = cover(boxes[:, 1], boxes[:, 3])
    return rows[:, :, None] * columns[:, None, :]
