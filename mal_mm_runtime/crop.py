"""One box on its way through a labeler: a crop, then a drawing."""

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


@dataclass(frozen=True)
class Drawing:
    """What the labeler says about one box, before a mask is cut out of it.

    Attributes:
        probs: (h, w) float32 mask probabilities on image pixels.
        corner: image row and column of the first one.
        quality: see `labeling.quality`.
    """

    probs: np.ndarray
    corner: tuple[int, int]
    quality: float


def average_drawings(drawings: list[Drawing]) -> Drawing:
    """One drawing of several of the same box; where one has no pixels it says 0."""
    if len(drawings) == 1:
        return drawings[0]
    tops, lefts = zip(*(drawing.corner for drawing in drawings), strict=True)
    bottoms, rights = zip(
        *(
            (top + d.probs.shape[0], left + d.probs.shape[1])
            for d, top, left in zip(drawings, tops, lefts, strict=True)
        ),
        strict=True,
    )
    top, left = min(tops), min(lefts)
    total = np.zeros((max(bottoms) - top, max(rights) - left), dtype=np.float32)
    for drawing, y, x in zip(drawings, tops, lefts, strict=True):
        h, w = drawing.probs.shape
        total[y - top : y - top + h, x - left : x - left + w] += drawing.probs
    quality = sum(drawing.quality for drawing in drawings) / len(drawings)
    return Drawing(total / len(drawings), (top, left), quality)
