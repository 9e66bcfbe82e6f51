"""What labeling gives for one box."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from pycocotools import mask as mask_utils


@dataclass(frozen=True)
class PseudoMask:
    """A mask drawn from a box.

    Attributes:
        rle: compressed COCO RLE of the image's size, `counts` a str.
        area: mask area in image px^2; 0 when the network marked nothing.
        quality: estimate in [0, 1], see `labeling.quality`.
        box: (4,) xyxy, the box as given.
    """

    rle: dict
    area: int
    quality: float
    box: np.ndarray

    @property
    def mask(self) -> np.ndarray:
        """(H, W) bool, decoded anew each time."""
        return mask_utils.decode(self.rle).astype(bool)
