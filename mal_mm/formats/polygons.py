"""Masks as COCO polygons, and what that costs."""

from __future__ import annotations

import cv2
import numpy as np
from pycocotools import mask as coco_mask


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
