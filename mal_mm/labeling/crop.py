"""One box on its way to the labeler."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Crop:
    """One box, ready for the network.

    Attributes:
        pixels: (S, S, 3) uint8 RGB.
        window: (4,) int, image pixels.
        crop_box: (4,) float32, crop pixels, of the box and the tolerance around it.
        box: (4,) xyxy, image pixels.
        image_hw: height and width of the image.
        views: the same box with other margins.
    """

    pixels: np.ndarray
    window: np.ndarray
    crop_box: np.ndarray
    box: np.ndarray
    image_hw: tuple[int, int]
    views: tuple[Crop, ...] = ()
