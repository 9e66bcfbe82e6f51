"""The photos of the review page: linked where they lie, copied, or copied small."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import cv2
import numpy as np
from PIL import Image

from mal_mm.formats.image_size import stated_size
from mal_mm.formats.paths import image_file_name, resolve_under
from mal_mm.formats.plain_file import open_plain_file, read_plain_file
from mal_mm_runtime.image_file import decode_image

from .overlay import scale_image

LINK, COPY, SMALL = 'link', 'copy', 'small'
MODES = (LINK, COPY, SMALL)
FOLDER = 'images'
# longer side of small copies in pixels
SMALL_SIDE = 640
JPEG_QUALITY = 85
_ORIENTATION = 0x0112  # of the EXIF data
# what browsers show; others are drawn anew as JPEG
SHOWN = frozenset({'.jpg', '.jpeg', '.jfif', '.png', '.gif', '.webp', '.bmp', '.avif'})


@dataclass(frozen=True)
class Photo:
    """Where the page finds the picture of an image.

    Attributes:
        name: what the annotation file calls it.
        width, height: what its boxes and masks are measured in, None where that is not known.
        src: address for the page, relative to it; None where there is no picture.
        problem: why there is none.
    """

    name: str
    width: int | None
    height: int | None
    src: str | None = None
    problem: str | None = None


def place_photos(
    images: Sequence[dict | None],
    keys: Sequence[Any],
    img_root: str | Path,
    out_dir: str | Path,
    folder: Path,
    mode: str = LINK,
    mask_sizes: dict[Any, tuple[int, int]] | None = None,
) -> list[Photo]:
    """Give the page each picture; a bad one never stops the others.

    Args:
        images: records of the images, None for those that the file lacks.
        keys: their ids.
        img_root: folder that file names are relative to; they may not leave it.
        out_dir: folder of the page.
        folder: existing folder for copies, which will be `out_dir/images`.
        mode: LINK: the page points to the file itself, which is only looked at by name; COPY:
            a copy of the file; SMALL: a copy of at most SMALL_SIDE pixels. Kinds of files that
            browsers do not show are copied as JPEG in each mode.
        mask_sizes: id -> (height, width) of a mask, for images whose record has no size.

    Returns:
        One for each image.

    Raises:
        ValueError: there is no such mode.
        OSError: a copy cannot be written.
    """
    if mode not in MODES:
        raise ValueError(f'`images` must be one of {", ".join(MODES)}, got {mode!r}')
    return list(
        _place(images, keys, Path(img_root), Path(out_dir), folder, mode, mask_sizes or {})
    )


def _place(
    images: Sequence[dict | None],
    keys: Sequence[Any],
    img_root: Path,
    out_dir: Path,
    folder: Path,
    mode: str,
    mask_sizes: dict[Any, tuple[int, int]],
) -> Iterable[Photo]:
    for number, (image, key) in enumerate(zip(images, keys, strict=True)):
        if image is None:
            yield Photo(
                f'image {key}', None, None, None, 'the annotation file lists no such image'
            )
            continue
        file_name = image_file_name(image)
        name = str(file_name)
        width, height = stated_size(image)
        if width is None or height is None:
            height, width = mask_sizes.get(key, (height, width))
        try:
            path = resolve_under(img_root, file_name)
            suffix, content = _copy_of(path, mode, (width, height))
        except FileNotFoundError:
            yield Photo(name, width, height, None, f"not found under '{img_root}'")
        except (ValueError, OSError) as error:
            yield Photo(name, width, height, None, str(error))
        else:
            src = relative_address(path, out_dir)
            if content is not None:
                # numbered: names out of annotation files are not to be trusted
                src = f'{FOLDER}/{number:06d}{suffix}'
                (folder / Path(src).name).write_bytes(content)
            yield Photo(name, width, height, src)


def _copy_of(
    path: Path, mode: str, size_wh: tuple[int | None, int | None]
) -> tuple[str, bytes | None]:
    """Ending and content of the file that the page takes along; None where it takes none."""
    turn = not _is_measured_unturned(path, size_wh)
    shown = turn and path.suffix.lower() in SHOWN
    if mode == LINK and shown:
        return path.suffix, None
    content, _ = read_plain_file(path)
    if mode == SMALL:
        return '.jpg', _jpeg(_shrunk(decode_image(content, turn)))
    return (
        (path.suffix.lower(), content) if shown else ('.jpg', _jpeg(decode_image(content, turn)))
    )


def _is_measured_unturned(path: Path, size_wh: tuple[int | None, int | None]) -> bool:
    """Whether boxes are measured in the picture as it is stored, though its camera noted a turn.

    Browsers turn it in any case. Only files with a note at their beginning are looked at closer.
    """
    with open_plain_file(path) as file:
        if b'Exif' not in file.read(4096):
            return False
        file.seek(0)
        try:
            with Image.open(file) as image:
                is_lying = image.getexif().get(_ORIENTATION, 1) >= 5
                return is_lying and image.size == size_wh != image.size[::-1]
        except Exception:  # damaged: the page says so when it comes to it
            return False


def relative_address(path: str | Path, out_dir: str | Path) -> str:
    """The address of a file for a page in another folder; that of the file where none leads there.

    Folder names are taken as they are written, links are not seen through: so do browsers.
    """
    try:
        return quote(Path(os.path.relpath(path, out_dir)).as_posix())
    except ValueError:  # on another drive of Windows
        return Path(path).absolute().as_uri()


def _shrunk(pixels: np.ndarray) -> np.ndarray:
    longer = max(pixels.shape[:2])
    return scale_image(pixels, SMALL_SIDE / longer) if longer > SMALL_SIDE else pixels


def _jpeg(image_rgb: np.ndarray) -> bytes:
    done, data = cv2.imencode(
        '.jpg', image_rgb[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
    )
    if not done:
        raise ValueError('OpenCV cannot write it as JPEG')
    return data.tobytes()
