"""What the labeler makes of one box, in COCO's terms."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from pycocotools import mask as coco_mask

from mal_mm_runtime.crop import Crop, Drawing, average_drawings

from ..formats import mal_fields
from ..formats.atomic import atomic_write
from ..formats.polygons import mask_to_polygons
from ..formats.rle import decode_tight

__all__ = ['Crop', 'Drawing', 'PseudoMask', 'average_drawings']


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
