"""What the record of an image says about its size; one rule for all who read it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

# as the run lengths of a mask can count them
MAX_PIXELS = 2**32


def stated_size(image: Mapping[str, Any]) -> tuple[int | None, int | None]:
    """Width and height of an image as its record gives them, in pixels.

    A side is a whole number above 0, and 120.0 is 120. Whatever else stands there ("120", -1, 0,
    0.5, nothing) says nothing: the side is not known, None, and is that of the picture.
    """
    return _side(image.get('width')), _side(image.get('height'))


def check_found_size(
    name: object, stated_wh: tuple[int | None, int | None], found_wh: tuple[int, int]
) -> None:
    """Refuse an image that is of another size than its record says: boxes would not fit it.

    Args:
        name: of the image, for the error.
        stated_wh: see `stated_size`; a side that is not known is taken as it is.
        found_wh: of the picture, turned as its EXIF data says.

    Raises:
        ValueError: they differ.
    """
    wanted = tuple(
        found if said is None else said for said, found in zip(stated_wh, found_wh, strict=True)
    )
    if wanted != tuple(found_wh):
        raise ValueError(
            f'{name} is {found_wh[0]} x {found_wh[1]} pixels but its record says '
            f'{wanted[0]:.10g} x {wanted[1]:.10g}; boxes and image would not fit each other'
        )


def mask_size(image: Mapping[str, Any]) -> tuple[int, int]:
    """Height and width for an empty mask of an image; 1 x 1 where no mask could have its size."""
    width, height = stated_size(image)
    if width is None or height is None or width * height >= MAX_PIXELS:
        return 1, 1
    return height, width


def _side(value: Any) -> int | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    whole = value > 0 and value < math.inf and value == int(value)
    return int(value) if whole else None
