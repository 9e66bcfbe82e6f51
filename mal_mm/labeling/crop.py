"""One box on its way through the labeler: a crop, a drawing, a pseudo-mask."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from pycocotools import mask as coco_mask

from ..formats import mal_fields
from ..formats.atomic import atomic_write
from ..formats.polygons import mask_to_polygons
from ..formats.rle import decode_tight


@dataclass(frozen=True)
class Crop:
    """One box, ready for the network.

    Attributes:
        pixels: (S, S, 3) uint8 RGB.
        window: (4,) int, image pixels.
        crop_box: (4,) float32, crop pixels, of the box and the tolerance around it.
        box: (4,) xyxy, image pixels.
        image_hw: height and width of the image.
        views: the same box with other margins.
    """

    pixels: np.ndarray
    window: np.ndarray
    crop_box: np.ndarray
    box: np.ndarray
    image_hw: tuple[int, int]
    views: tuple[Crop, ...] = ()


@dataclass(frozen=True)
class Drawing:
    """What the labeler says about one box, before a mask is cut out of it.

    Attributes:
        probs: (h, w) float32 mask probabilities on image pixels.
        corner: image row and column of the first one.
        quality: see `labeling.quality`.
    """

    probs: np.ndarray
    corner: tuple[int, int]
    quality: float


def average_drawings(drawings: list[Drawing]) -> Drawing:
    """One drawing of several of the same box; where one has no pixels it says 0."""
    if len(drawings) == 1:
        return drawings[0]
    tops, lefts = zip(*(drawing.corner for drawing in drawings), strict=True)
    bottoms, rights = zip(
        *(
            (top + d.probs.shape[0], left + d.probs.shape[1])
            for d, top, left in zip(drawings, tops, lefts, strict=True)
        ),
        strict=True,
    )
    top, left = min(tops), min(lefts)
    total = np.zeros((max(bottoms) - top, max(rights) - left), dtype=np.float32)
    for drawing, y, x in zip(drawings, tops, lefts, strict=True):
        h, w = drawing.probs.shape
        total[y - top : y - top + h, x - left : x - left + w] += drawing.probs
    quality = sum(drawing.quality for drawing in drawings) / len(drawings)
    return Drawing(total / len(drawings), (top, left), quality)


@dataclass(frozen=True, repr=False)
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

    def __repr__(self) -> str:
        height, width = self.rle['size']
        box = ', '.join(f'{value:g}' for value in self.box)
        return (
            f'PseudoMask({self.area} px of {width} x {height}, quality {self.quality:.2f}, '
            f'box [{box}])'
        )

    @property
    def mask(self) -> np.ndarray:
        """(H, W) bool, decoded anew each time."""
        return coco_mask.decode(self.rle).astype(bool)

    def polygons(self, tolerance: float = 1.0) -> list[list[float]]:
        """Outlines as COCO polygons; holes are lost, since COCO polygons cannot hold them.

        Args:
            tolerance: how far a polygon may stray from the outline, in pixels.

        Returns:
            [x0, y0, x1, y1, ...] in image pixels for each piece of the mask.
        """
        columns, left, top = decode_tight(self.rle)
        return mask_to_polygons(columns.T > 0, top, left, tolerance)

    def to_coco(self, **fields: Any) -> dict[str, Any]:
        """The mask as a COCO annotation.

        Args:
            **fields: what only the caller knows, such as id, image_id and category_id.

        Returns:
            JSON can hold it: `fields`, `bbox` as x, y, width, height, `iscrowd` 0, and what
            labeling writes into files.
        """
        x0, y0, x1, y1 = (float(value) for value in self.box)
        drawn = mal_fields.drawn(self.rle, self.area, self.quality)
        return {**fields, 'bbox': [x0, y0, x1 - x0, y1 - y0], 'iscrowd': 0, **drawn}

    def save(self, path: str | Path) -> None:
        """Write the mask as an image of 0 and 255; the ending says which kind, such as .png.

        Raises:
            ValueError: the ending is of no kind of image without loss.
        """
        path = Path(path)
        if path.suffix.lower() not in ('.png', '.bmp', '.tif', '.tiff'):
            raise ValueError(f'{path}: write masks as .png, .bmp or .tif, without loss')
        _, data = cv2.imencode(path.suffix, self.mask.astype(np.uint8) * 255)
        with atomic_write(path, 'wb') as file:
            file.write(data.tobytes())
