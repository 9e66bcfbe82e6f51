"""A mask's quality hidden in its label, and taken out again.

MMDetection's transforms drop instances (RandomCrop, FilterAnnotations, ...) and join those of
several images (Mosaic, MixUp, CopyPaste), and each handles a fixed list of fields: boxes, labels,
masks, ignore flags. A field of our own would silently stay behind, its rows belonging to others.
Labels are indexed and concatenated by every one of them and read by none (but for those that
`use_mask_quality` refuses), so the quality travels inside the label.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

# The labeling tool writes four digits. Being the low part of the number, quality needs no bound
# on labels; the whole stays under 2 ** 24 for LVIS's 1203, so that float32 would still hold it.
_STEPS = 10_000


def join_quality(labels: np.ndarray, quality: ArrayLike) -> np.ndarray:
    """Hide each quality in its label.

    Args:
        labels: (n,) whole numbers.
        quality: (n,) in [0, 1], kept to four digits.

    Returns:
        (n,) int64.
    """
    steps = np.rint(np.asarray(quality, dtype=np.float64) * _STEPS).astype(np.int64)
    return labels.astype(np.int64) * (_STEPS + 1) + steps


def split_quality(joined: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Undo `join_quality`.

    Returns:
        (n,) int64 labels and (n,) float32 quality.
    """
    labels, steps = np.divmod(joined.astype(np.int64), _STEPS + 1)
    return labels, (steps / _STEPS).astype(np.float32)
