"""Boxes without an object: negatives of training (MAL, arXiv 2301.03992, Sec. 3.1)."""

from __future__ import annotations

import numpy as np

from ..geometry import RandomNumbers


def find_background(
    box_xyxy: np.ndarray,
    boxes_xyxy: np.ndarray,
    image_hw: tuple[int, int],
    random: RandomNumbers,
    max_tries: int = 20,
) -> np.ndarray | None:
    """Move a box to a random place of its image where it shares no pixel with any box.

    Args:
        box_xyxy: (4,) box that gives the size, image pixels.
        boxes_xyxy: (n, 4) boxes to stay clear of, the box itself among them.
        image_hw: height and width of the image in pixels.
        random: numpy's module or a RandomState; two numbers are drawn a try.
        max_tries: places that are tried.

    Returns:
        (4,) float32 box of the same size inside the image; None where no try was free or the box
        does not fit into the image.
    """
    size = box_xyxy[2:] - box_xyxy[:2]
    room = np.array(image_hw[::-1]) - size
    if (room < 0).any():
        return None
    corners = random.random_sample((max_tries, 2)) * room
    tries = np.concatenate([corners, corners + size], axis=1).astype(np.float32)
    # a box covers the pixels int(x0)..int(x1), both included
    first, last = np.floor(tries[:, None, :2]), np.floor(tries[:, None, 2:])
    taken_first, taken_last = np.floor(boxes_xyxy[:, :2]), np.floor(boxes_xyxy[:, 2:])
    touched = ((first <= taken_last) & (taken_first <= last)).all(axis=2).any(axis=1)
    free = np.flatnonzero(~touched)
    return tries[free[0]] if len(free) else None
