"""The one reader of pixels: training, labeling, report, and phase 2 where mmdet would go wrong.

The range of values follows the depth of the file, never what is in it, so that a dark picture
stays dark: 8 bits as they are, of 16 bits the upper 8 (as OpenCV does), floating point from 0 to
1. A camera that puts 12 bits into a file of 16 makes it dark; MAL_IMAGE_BITS=12 says so, in the
environment, to every tool. Alpha is dropped, and a turn that the camera noted is applied.
"""

from __future__ import annotations

import io
import os
import re

import cv2
import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

BITS_VARIABLE, PIXELS_VARIABLE = 'MAL_IMAGE_BITS', 'MAL_MAX_IMAGE_PIXELS'
_ORIENTATION = 0x0112
# formats and modes that OpenCV and Pillow decode to the same pixels
_SAME_FORMATS, _SAME_MODES = ('JPEG', 'PNG', 'BMP'), ('1', 'L', 'P', 'RGB', 'RGBA')


def image_bits() -> int | None:
    """The depth that MAL_IMAGE_BITS gives to files of more than 8 bits; None: their own.

    Raises:
        ValueError: it is no number from 9 to 32.
    """
    text = os.environ.get(BITS_VARIABLE, '').strip()
    if not text:
        return None
    if not text.isdigit() or not 8 < int(text) <= 32:
        raise ValueError(f'{BITS_VARIABLE} must be a number of bits from 9 to 32, got {text!r}')
    return int(text)


def decode_image(content: bytes, turn: bool = True) -> np.ndarray:
    """Decode an image file.

    Args:
        content: of the file.
        turn: apply the orientation of the EXIF data.

    Returns:
        (H, W, 3) uint8 RGB.

    Raises:
        ValueError: it is no image, damaged, cut short, too large, or its range is not known; says
            which, the same words for the same content.
    """
    _raise_limit()
    try:
        with Image.open(io.BytesIO(content)) as opened:
            image: Image.Image = opened
            deep = is_deep(image)
            bits = image_bits() if deep else None
            if deep and (bits is not None or image.mode[0] in 'IF'):
                pixels = _from_deep(image, content, bits)
                orientation = image.getexif().get(_ORIENTATION, 1)
                return _turned(pixels, orientation) if turn else pixels
            if turn:
                # a damaged note on the turn is no reason to lose the picture
                image.load()
                ImageOps.exif_transpose(image, in_place=True)
            if image.mode == 'LA':
                image = image.convert('L')
            # a copy that is not made: of large pictures it takes as long as decoding
            return np.ascontiguousarray(image if image.mode == 'RGB' else image.convert('RGB'))
    except UnidentifiedImageError:
        raise ValueError('UnidentifiedImageError: is no image of a known kind') from None
    except Image.DecompressionBombError as error:
        raise ValueError(
            f'DecompressionBombError: {error}; if it is meant to be so large, set '
            f'{PIXELS_VARIABLE} to its number of pixels'
        ) from None
    except Exception as error:
        raise ValueError(f'{type(error).__name__}: {without_addresses(error)}') from error


def decodes_the_same(content: bytes) -> bool:
    """Whether OpenCV makes the same pixels of a file: 8 bits, one of the usual kinds, whole."""
    try:
        with Image.open(io.BytesIO(content)) as image:
            same = image.format in _SAME_FORMATS and image.mode in _SAME_MODES
            if not same or is_deep(image) or image.getexif().get(_ORIENTATION, 1) != 1:
                return False
            # of a JPEG that is cut short OpenCV makes half a picture without a word
            return image.format != 'JPEG' or content.rstrip(b'\0').endswith(b'\xff\xd9')
    except Exception:
        return False


def is_deep(image: Image.Image) -> bool:
    """Whether an opened image has more than 8 bits a channel; also where Pillow shows 8."""
    return image.mode[0] in 'IF' or any(
        re.search(r';(1[0-6]|32|64)', str(tile[3])) for tile in getattr(image, 'tile', None) or ()
    )


def without_addresses(error: object) -> str:
    """The text of an error, the same in every run: objects in it come with their address."""
    return re.sub(r'<([\w.]+)[^<>]* at 0x[0-9a-fA-F]+>', r'<\1>', str(error))


def _raise_limit() -> None:
    # Pillow refuses from twice this number on
    text = os.environ.get(PIXELS_VARIABLE, '').strip()
    if text.isdigit():
        Image.MAX_IMAGE_PIXELS = max(Image.MAX_IMAGE_PIXELS or 0, int(text))


def _from_deep(image: Image.Image, content: bytes, bits: int | None) -> np.ndarray:
    if image.mode[0] in 'IF':
        values = np.asarray(image)
    else:  # Pillow has no colours of 16 bits
        decoded = cv2.imdecode(
            np.frombuffer(content, dtype=np.uint8),
            cv2.IMREAD_UNCHANGED | cv2.IMREAD_IGNORE_ORIENTATION,
        )
        if decoded is None:
            raise ValueError(f'{image.format} in mode {image.mode} of more than 8 bits')
        coloured = decoded.ndim == 3 and decoded.shape[2] >= 3
        values = decoded[..., 2::-1] if coloured else decoded
    if values.ndim == 2:
        values = np.repeat(values[..., None], 3, axis=2)
    if bits is not None:
        top = 2.0**bits - 1
    elif values.dtype.kind == 'f':
        top = 1.0
    elif image.mode.startswith('I;16') or image.format == 'PNG':
        return (values.astype(np.int64) >> 8).clip(0, 255).astype(np.uint8)
    else:
        raise ValueError(
            f'its whole numbers of 32 bits have no usual range; set {BITS_VARIABLE} to the number '
            'of bits that they use'
        )
    scaled = np.nan_to_num(values.astype(np.float64), nan=0.0) * (255 / top)
    return np.rint(scaled.clip(0, 255)).astype(np.uint8)


def _turned(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """The eight orientations of EXIF: mirrored, turned, or both."""
    quarter_turns = {3: 2, 4: 2, 5: 3, 6: 3, 7: 1, 8: 1}.get(orientation, 0)
    if orientation in (2, 4, 5, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(np.rot90(pixels, quarter_turns))
