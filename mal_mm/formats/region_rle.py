"""RLE of a mask that is known on a rectangle of the image only."""

from __future__ import annotations

import numpy as np

from mal_mm_runtime.rle import region_edges

from .rle import rle_from_edges, rle_to_str_counts


def encode_region(region: np.ndarray, top: int, left: int, image_hw: tuple[int, int]) -> dict:
    """Encode a mask without drawing the whole image.

    Args:
        region: (h, w) bool, the mask on its rectangle; zero elsewhere. Quickest when stored by
            columns (the transpose of a C-ordered array).
        top, left: image pixel of the region's first one.
        image_hw: height and width of the image.

    Returns:
        Compressed COCO RLE of the image's size, `counts` a str.

    Raises:
        ValueError: the region reaches beyond the image.
    """
    edges = region_edges(region, top, left, image_hw)
    return rle_to_str_counts(rle_from_edges(edges, *image_hw))
