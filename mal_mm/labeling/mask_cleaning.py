"""Tidying finished masks: islands, holes, outlines. All on the box's region alone."""

from __future__ import annotations

import cv2
import numpy as np
from pycocotools import mask as coco_mask


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


def mask_to_polygons(
    region: np.ndarray, top: int, left: int, tolerance: float
) -> list[list[float]]:
    """Outlines of a mask as COCO polygons. Holes are lost: COCO polygons cannot hold them.

    Args:
        region: (h, w) bool.
        top, left: image pixel of the region's first one.
        tolerance: how far the polygon may stray from the outline, in pixels.

    Returns:
        [x0, y0, x1, y1, ...] of each piece, at least three points; image pixels.
    """
    # cv2 goes through the centres of the border pixels; at double size those of the half pixels
    # lie a quarter of a pixel inside the true outline instead of half of one
    doubled = region.repeat(2, axis=0).repeat(2, axis=1).astype(np.uint8)
    outlines, _ = cv2.findContours(doubled, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    polygons = []
    for outline in outlines:
        points = cv2.approxPolyDP(outline, 2 * tolerance, closed=True)[:, 0]
        if len(points) < 3:  # a sliver
            points = cv2.boxPoints(cv2.minAreaRect(outline))
        polygons.append(((points + 0.5) / 2 + (left, top)).round(2).ravel().tolist())
    return polygons


def polygon_iou(polygons: list[list[float]], rle: dict) -> float:
    """IoU of polygons, drawn again, with the mask that they were made from."""
    if not polygons:
        return 0.0
    height, width = rle['size']
    drawn = coco_mask.merge(coco_mask.frPyObjects(polygons, height, width))
    return float(coco_mask.iou([drawn], [rle], [0])[0, 0])
