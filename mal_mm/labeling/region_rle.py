"""RLE of a mask that is known on a rectangle of the image only."""

from __future__ import annotations

import numpy as np

from ..formats.rle import rle_from_edges, rle_to_str_counts


def encode_region(region: np.ndarray, top: int, left: int, image_hw: tuple[int, int]) -> dict:
    """Encode a mask without drawing the whole image.

    Args:
        region: (h, w) bool, the mask on its rectangle; zero elsewhere.
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
    # runs go down the columns; a zero row above and below each column's piece ends the runs there,
    # and rle_from_edges joins those that touch across full-height columns
    columns = np.zeros((w, h + 2), dtype=np.int8)
    columns[:, 1:-1] = region.T
    column, row = np.nonzero(np.diff(columns, axis=1))
    edges = (column + left) * height + row + top
    return rle_to_str_counts(rle_from_edges(edges, height, width))
