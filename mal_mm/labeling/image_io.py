"""Reading images as the training pipeline does."""

from __future__ import annotations

from pathlib import Path

import mmcv
import numpy as np


def read_image(path: str | Path) -> np.ndarray:
    """Decode an image file.

    Pillow decodes (as `LoadImageFromFile(imdecode_backend='pillow')` in the training configs):
    OpenCV returns half a picture for a truncated JPEG without an error. An EXIF rotation is
    applied, as mmdet does.

    Returns:
        (H, W, 3) uint8 RGB.

    Raises:
        OSError: missing, truncated, or no image; names the file.
    """
    try:
        content = Path(path).read_bytes()
        image = mmcv.imfrombytes(content, channel_order='rgb', backend='pillow')
    except FileNotFoundError:
        raise FileNotFoundError(f'{path}: no such image') from None
    except Exception as error:
        raise OSError(f'{path}: cannot be decoded ({type(error).__name__}: {error})') from error
    return np.ascontiguousarray(image)
