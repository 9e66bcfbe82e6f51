"""COCO's run-length encoding without pycocotools."""

from __future__ import annotations

import numpy as np


def region_edges(region: np.ndarray, top: int, left: int, image_hw: tuple[int, int]) -> np.ndarray:
    """Where a mask that is known on a rectangle of the image starts and stops.

    Args:
        region: (h, w) bool, the mask on its rectangle; zero elsewhere. Quickest when stored by
            columns (the transpose of a C-ordered array).
        top, left: image pixel of the region's first one.
        image_hw: height and width of the image.

    Returns:
        (E,) ascending positions, counted down the image's columns. Where two fall on one place
        they cancel.

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
    # there.
    pixels = np.zeros(1 + w * (h + 1), dtype=bool)
    pixels[1:].reshape(w, h + 1)[:, :h] = region.T
    column, row = np.divmod(np.flatnonzero(pixels[1:] != pixels[:-1]), h + 1)
    return (column + left) * height + row + top


def encode_region(region: np.ndarray, top: int, left: int, image_hw: tuple[int, int]) -> dict:
    """Compressed COCO RLE of the image's size, `counts` a str; see `region_edges`."""
    height, width = image_hw
    edges = region_edges(region, top, left, image_hw)
    places, how_often = np.unique(edges, return_counts=True)
    places = places[(how_often % 2 == 1) & (places < height * width)]
    runs = np.diff(places, prepend=0, append=height * width)
    return {'size': [int(height), int(width)], 'counts': _compress(runs)}


def _compress(runs: np.ndarray) -> str:
    """Five bits a letter, lowest first; from the fourth on the difference to two before."""
    values = runs.astype(np.int64)
    values[3:] -= runs[1:-2]
    letters = []
    for value in map(int, values):
        more = True
        while more:
            bits, value = value & 31, value >> 5
            more = value != (-1 if bits & 16 else 0)
            letters.append(chr(48 + (bits | 32 if more else bits)))
    return ''.join(letters)
