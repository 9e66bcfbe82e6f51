"""Which of several labelings of the same boxes is best, without a single true mask.

A mask that fits touches the four sides of its box, and its colours differ from those around it.
The mean of the product over a data set took the better labeling in all three sets that were tried,
see docs/instant.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

from mal_mm_runtime.windows import boxes_on_maps

from ..formats.coco import index_images
from ..formats.mal_fields import has_quality
from ..formats.paths import image_file_name, resolve_under
from ..formats.rle import annotation_to_rle, decode_tight
from ..geometry import crop_window, expand_fixed
from ..models.data_preprocessor import IMAGENET_MEAN, IMAGENET_STD
from .image_io import read_image
from .quality import colour_separation, tightness

# masks that are looked at: more hardly move the mean
MOST = 400
_SIDE = 64


def mean_fit(
    data: Mapping[str, Any], img_root: str | Path, path: str = 'masks', most: int = MOST
) -> float:
    """Mean of colour separation x tightness over the masks of a file.

    Args:
        data: a labelled COCO object; annotations without a mask or image are left out.
        img_root: folder that its file names are relative to.
        path: its name, for errors.
        most: masks looked at, spread over the file.

    Returns:
        In [0, 1]; 0 where there is no mask to look at.
    """
    images = index_images(data, path)
    labelled = [a for a in data['annotations'] if has_quality(a) and a['image_id'] in images]
    chosen = labelled[:: max(-(-len(labelled) // most), 1)]
    fits: list[float] = []
    seen: tuple[Any, np.ndarray | None] = (object(), None)
    for annotation in sorted(chosen, key=lambda a: str(a['image_id'])):
        image_id = annotation['image_id']
        if seen[0] != image_id:
            try:
                name = image_file_name(images[image_id])
                seen = image_id, read_image(resolve_under(img_root, name))
            except (OSError, ValueError):
                seen = image_id, None  # it was labelled once; labeling has said what is wrong
        if seen[1] is not None:
            fits.append(mask_fit(annotation, seen[1]))
    return float(np.mean(fits)) if fits else 0.0


def mask_fit(annotation: Mapping[str, Any], image: np.ndarray) -> float:
    """Colour separation x tightness of one mask.

    Args:
        annotation: with `bbox` and `segmentation`.
        image: (H, W, 3) uint8 RGB.

    Returns:
        In [0, 1]; 0 for an empty mask.
    """
    x, y, w, h = annotation['bbox']
    box = np.array([[x, y, x + w, y + h]], dtype=np.float64)
    window = expand_fixed(box)[0]
    mask = _mask_on_window(annotation, window, image.shape[:2])
    colours = torch.from_numpy(crop_window(image, window, _SIDE, exact=False)).permute(2, 0, 1)
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (IMAGENET_MEAN, IMAGENET_STD))
    on_map = boxes_on_maps(box, window[None], [image.shape[:2]], _SIDE)
    separation = colour_separation(mask[None] > 0.5, ((colours - mean) / std)[None])
    tight = tightness(mask[None], torch.from_numpy(on_map), 0.5)
    return float(separation * tight)


def _mask_on_window(
    annotation: Mapping[str, Any], window: np.ndarray, image_hw: tuple[int, int]
) -> Tensor:
    rle = annotation_to_rle(annotation, *image_hw)
    assert rle is not None  # only annotations with a mask come here
    columns, left, top = decode_tight(rle)
    x0, y0, x1, y1 = (int(v) for v in window)
    shown = np.zeros((y1 - y0, x1 - x0), dtype=np.float32)
    region = columns.T
    # the window holds the whole box, but a mask of someone else may reach further
    rows = slice(max(top, y0), min(top + region.shape[0], y1))
    cols = slice(max(left, x0), min(left + region.shape[1], x1))
    if rows.start < rows.stop and cols.start < cols.stop:
        shown[rows.start - y0 : rows.stop - y0, cols.start - x0 : cols.stop - x0] = region[
            rows.start - top : rows.stop - top, cols.start - left : cols.stop - left
        ]
    return torch.from_numpy(cv2.resize(shown, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA))
