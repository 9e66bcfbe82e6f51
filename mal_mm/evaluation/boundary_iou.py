"""IoU of two masks' boundaries, which a mask cannot win by its inside alone.

Source: Cheng et al., Boundary IoU, CVPR 2021, arXiv 2103.16562.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from pycocotools import mask as mask_utils

from mal_mm.formats.rle import decode_tight

# Share of the image's diagonal that a boundary is wide; the paper's choice.
RATIO = 0.02


def boundary_iou(
    rles_a: Sequence[Mapping[str, Any]], rles_b: Sequence[Mapping[str, Any]], ratio: float = RATIO
) -> np.ndarray:
    """Boundary IoU of each mask with its partner.

    Args:
        rles_a: N RLEs.
        rles_b: N RLEs, each of the size of its partner.
        ratio: width of the boundary as a share of the image's diagonal, see `MaskBoundary`.

    Returns:
        (N,) float64 in [0, 1]; 0 where both masks are empty.

    Raises:
        ValueError: the lists differ in length, or partners in size.
        AnnotationError: an RLE is damaged.
    """
    if len(rles_a) != len(rles_b):
        raise ValueError(
            f'`rles_a` and `rles_b` must pair up, got {len(rles_a)} and {len(rles_b)} masks'
        )
    pairs = zip(rles_a, rles_b, strict=True)
    return np.array(
        [MaskBoundary.of(a, ratio).iou(MaskBoundary.of(b, ratio)) for a, b in pairs],
        dtype=np.float64,
    )


@dataclass(frozen=True, slots=True)
class MaskBoundary:
    """The pixels of a mask within a certain distance of its outline.

    Attributes:
        pixels: (w, h) uint8 of 0 and 1 on the mask's tight box, columns first as in an RLE.
        left, top: image pixel of the first one.
        area: how many are 1.
        image_hw: height and width of the image.
    """

    pixels: np.ndarray
    left: int
    top: int
    area: int
    image_hw: tuple[int, int]

    @classmethod
    def of(cls, rle: Mapping[str, Any], ratio: float = RATIO) -> MaskBoundary:
        """Boundary of a mask: the mask without its erosion by d pixels in all eight directions.

        d is `ratio` times the image's diagonal, rounded, at least 1. What lies outside the image
        counts as background.

        Args:
            rle: of the mask.
            ratio: see above.

        Raises:
            AnnotationError: the RLE is damaged.
        """
        pixels, left, top = decode_tight(rle)
        height, width = (int(n) for n in rle['size'])
        side = _erosion_side(height, width, ratio)
        if min(pixels.shape) >= side:
            # Eroding d times by 3 x 3 keeps the pixels whose (2d + 1)^2 neighbours are all in the
            # mask. Counting them with running sums takes the same time whatever d is.
            neighbours = cv2.boxFilter(
                pixels, cv2.CV_32S, (side, side), normalize=False, borderType=cv2.BORDER_CONSTANT
            )
            pixels[neighbours == side**2] = 0
        return cls(pixels, left, top, int(np.count_nonzero(pixels)), (height, width))

    def iou(self, other: MaskBoundary) -> float:
        """Intersection over union with another boundary; 0 where both are empty.

        Raises:
            ValueError: the two lie in images of different size.
        """
        if self.image_hw != other.image_hw:
            raise ValueError(
                f'masks must be of one size, got {self.image_hw} and {other.image_hw} '
                '(height, width)'
            )
        left, top = max(self.left, other.left), max(self.top, other.top)
        mine, theirs = (
            boundary.pixels[left - boundary.left :, top - boundary.top :]
            for boundary in (self, other)
        )
        w, h = np.minimum(mine.shape, theirs.shape)
        common = int(np.count_nonzero(mine[:w, :h] & theirs[:w, :h]))
        return common / max(self.area + other.area - common, 1)


def is_all_boundary(rle: Mapping[str, Any], ratio: float = RATIO) -> bool:
    """Whether a mask is too thin to have an inside, so that its boundary is all of it.

    Quick: two such masks have the boundary IoU that is their mask IoU.

    Args:
        rle: compressed, known to be sound, without empty runs (from `annotation_to_rle`).
        ratio: see `MaskBoundary`.
    """
    height, width = rle['size']
    return min(mask_utils.toBbox(rle)[2:]) < _erosion_side(height, width, ratio)


def _erosion_side(height: int, width: int, ratio: float) -> int:
    """2d + 1: side of the square that must fit into a mask around each pixel of its inside."""
    return 2 * max(round(ratio * math.hypot(height, width)), 1) + 1
