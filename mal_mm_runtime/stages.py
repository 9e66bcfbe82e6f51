"""From probabilities to masks that fit their box and the colours of the picture.

`mal_mm.instant.stages` is the same with torch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import cv2
import numpy as np

from .box_threshold import box_consistent_thresholds, recentre
from .colour_field import colour_field, rgb_to_lab
from .grabcut import colour_cut
from .maps import draw_box_masks, resize_maps

# side of the maps that colours are looked at on
SIZE = 168
# a box is seldom exact: colours may speak this far beyond it, in parts of its side
SLACK = 0.03


class DrawnCrops(NamedTuple):
    """What comes out of the colour stages.

    Attributes:
        probs: (N, SIZE, SIZE) in [0, 1], above 0.5 in the mask.
        before: (N, SIZE, SIZE) the same before colours were looked at.
    """

    probs: np.ndarray
    before: np.ndarray


def colour_stages(
    probs: np.ndarray,
    crop_boxes: np.ndarray,
    in_image: np.ndarray,
    crops: Sequence[np.ndarray],
    map_each: Callable = map,
) -> DrawnCrops:
    """Threshold, GrabCut, colour field.

    Args:
        probs: (N, s, s) in [0, 1] on a map of any size.
        crop_boxes: (N, 4) `(x0, y0, x1, y1)` in crop pixels, unrounded.
        in_image: (N, 4) part of each crop that the image fills, likewise.
        crops: N crops (S, S, 3) uint8 RGB.
        map_each: `map`, or the map of a thread pool.

    Returns:
        Probabilities before and after.
    """
    S = crops[0].shape[0]
    probs = resize_maps(probs, SIZE)
    margin = np.float32(SLACK) * (crop_boxes[:, 2:] - crop_boxes[:, :2])
    loose = np.concatenate([crop_boxes[:, :2] - margin, crop_boxes[:, 2:] + margin], 1)
    allowed = draw_box_masks(loose, S, SIZE) > 0.5
    thresholds = box_consistent_thresholds(probs, crop_boxes * np.float32(SIZE / S))
    centred = recentre(probs, thresholds) * allowed
    shown = draw_box_masks(in_image, S, SIZE) > 0.5
    return DrawnCrops(np.stack(list(map_each(_settle, centred, crops, shown, allowed))), centred)


def _settle(
    centred: np.ndarray, crop: np.ndarray, shown: np.ndarray, allowed: np.ndarray
) -> np.ndarray:
    pixels = shrink(crop)
    cut = colour_cut(centred, pixels, allowed)
    return colour_field((centred + cut) / np.float32(2), rgb_to_lab(pixels), shown, allowed)


def shrink(crop: np.ndarray) -> np.ndarray:
    """(S, S, 3) uint8 -> (SIZE, SIZE, 3), averaged."""
    return cv2.resize(np.ascontiguousarray(crop), (SIZE, SIZE), interpolation=cv2.INTER_AREA)
