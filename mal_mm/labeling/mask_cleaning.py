"""Tidying finished masks: islands and holes, on the box's region alone."""

from __future__ import annotations

import cv2
import numpy as np


def keep_largest_component(region: np.ndarray) -> np.ndarray:
    """The largest piece of a mask (pixels that touch by a corner belong together).

    Args:
        region: (h, w) bool.

    Returns:
        (h, w) bool; the first of equally large ones.
    """
    count, labels, stats, _ = cv2.connectedComponentsWithStats(region.astype(np.uint8))
    if count <= 2:
        return region
    return labels == 1 + np.argmax(stats[1:, cv2.CC_STAT_AREA])


def fill_holes(region: np.ndarray) -> np.ndarray:
    """A mask with its holes filled: background that no path of side neighbours leads out of.

    Args:
        region: (h, w) bool.

    Returns:
        (h, w) bool.
    """
    # a ring of background joins all that touches the region's border
    outside = np.pad(~region, 1, constant_values=True).astype(np.uint8)
    _, labels = cv2.connectedComponents(outside, connectivity=4)
    return (labels != labels[0, 0])[1:-1, 1:-1]
