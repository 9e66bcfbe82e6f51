"""What people hand to a labeler, checked."""

from __future__ import annotations

import numpy as np


def checked_boxes(image: np.ndarray, boxes_xyxy: np.ndarray) -> np.ndarray:
    """The boxes as an array, if image and boxes are what a labeler can use.

    Args:
        image: (H, W, 3) uint8 RGB.
        boxes_xyxy: (n, 4) image pixels, x1 > x0 and y1 > y0.

    Returns:
        (n, 4) float64.

    Raises:
        ValueError: the image or a box is not as described.
    """
    if not (
        isinstance(image, np.ndarray)
        and image.dtype == np.uint8
        and image.ndim == 3
        and image.shape[2] == 3
    ):
        found = (
            f'{image.dtype} {image.shape}'
            if isinstance(image, np.ndarray)
            else type(image).__name__
        )
        raise ValueError(f'`image` must be a path or an (H, W, 3) uint8 RGB array, got {found}')
    boxes = np.asarray(boxes_xyxy, dtype=np.float64)
    if boxes.size == 0:
        boxes = boxes.reshape(0, 4)
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise ValueError(
            f'`boxes_xyxy` must be (n, 4), got {boxes.shape}; one box is [[x0, y0, x1, y1]]'
        )
    height, width = image.shape[:2]
    ok = np.isfinite(boxes).all(1) & (boxes[:, 2:] > boxes[:, :2]).all(1)
    ok &= (boxes[:, 2:] > 0).all(1) & (boxes[:, 0] < width) & (boxes[:, 1] < height)
    if not ok.all():
        bad = int(np.flatnonzero(~ok)[0])
        raise ValueError(
            f'box {bad} {boxes[bad].tolist()} is no (x0, y0, x1, y1) with x1 > x0, y1 > y0 '
            f'that meets the {width} x {height} image'
        )
    return boxes
