"""RLE of a mask that is known on a rectangle of the image only."""

from __future__ import annotations

import numpy as np

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
    height, width = image_hw
    h, w = region.shape
    if top < 0 or left < 0 or top + h > height or left + w > width:
        raise ValueError(
            f'a {h} x {w} region at ({top}, {left}) does not lie in a {height} x {width} image'
        )
    # Runs go down the columns. A zero before the first column and below each one ends the runs
    # there; rle_from_edges joins those that touch across full-height columns.
    pixels = np.zeros(1 + w * (h + 1), dtype=bool)
    pixels[1:].reshape(w, h + 1)[:, :h] = region.T
    column, row = np.divmod(np.flatnonzero(pixels[1:] != pixels[:-1]), h + 1)
    edges = (column + left) * height + row + top
    return rle_to_str_counts(rle_from_edges(edges, height, width))
