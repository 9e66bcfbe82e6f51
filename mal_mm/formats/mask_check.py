"""Whether an annotation has a mask that can be used."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pycocotools import mask as mask_utils

from .errors import AnnotationError
from .image_size import stated_size
from .rle import segmentation_to_rle

NONE = 'has no mask'


def mask_problem(
    annotation: Mapping[str, Any], image: Mapping[str, Any] | None = None
) -> str | None:
    """Why an annotation has no mask that can be used; None: it has one, of a pixel or more.

    Args:
        annotation: of a COCO-style file.
        image: its image's record; None, or without a size: masks are taken to be of their own
            size, and of polygons only their form is looked at.
    """
    segmentation = annotation.get('segmentation')
    width, height = stated_size(image or {})
    try:
        if isinstance(segmentation, list):
            # what has no form of a mask is none, whatever is said of the image; somewhere near it
            if segmentation_to_rle(segmentation, 2**14, 2**14) is None:
                return NONE
            if width is None or height is None:
                width = height = 2**14
        rle = segmentation_to_rle(segmentation, height, width)
    except AnnotationError as error:
        return str(error)
    if rle is None:
        return NONE
    if not int(mask_utils.area(rle)):
        return 'has an empty mask'
    return None
