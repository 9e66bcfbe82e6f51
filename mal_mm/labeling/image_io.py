"""Reading images: plain files only, whole or not at all, and what exactly was read."""

from __future__ import annotations

import errno
import time
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mal_mm_runtime.image_file import decode_image

from ..formats.image_hints import name_hint
from ..formats.paths import resolve_under
from ..formats.plain_file import read_plain_file

# what no second try would change
_FINAL = (
    *(errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EACCES, errno.EPERM),
    *(errno.ENAMETOOLONG, errno.EINVAL, errno.ELOOP),
)
_RETRY_SECONDS = 0.5


class ImageStamp(NamedTuple):
    """What was read of an image file.

    Attributes:
        size: in bytes.
        mtime: of its last change, nanoseconds.
        crc: crc32 of its content.
    """

    size: int
    mtime: int
    crc: int


def read_image(path: str | Path) -> np.ndarray:
    """Read an image file, see `mal_mm_runtime.image_file` for what its values become.

    Returns:
        (H, W, 3) uint8 RGB.

    Raises:
        OSError: missing, truncated, or no image; names the file.
    """
    return read_stamped(path)[0]


def read_stamped(path: str | Path) -> tuple[np.ndarray, ImageStamp]:
    """Like `read_image`, and what was read."""
    content, stamp = _read(path)
    try:
        return decode_image(content), stamp
    except ValueError as error:
        problem = error
    # a read that a network disk cut short looks like a damaged file
    again, stamp = _read(path)
    try:
        if again != content:
            return decode_image(again), stamp
    except ValueError as error:
        problem = error
    raise OSError(f'{_shown(path)}: cannot be decoded ({problem})')


def is_there(img_root: str | Path, file_name: Any) -> bool:
    """Whether there is something under an image's name, of whatever kind."""
    try:
        return resolve_under(img_root, file_name).exists()
    except (OSError, ValueError):
        return False


def find_changed(
    img_root: str | Path, file_names: Sequence[Any], stamps: Mapping[int, ImageStamp]
) -> list[Path]:
    """Images that are no longer what was read of them.

    The same size and time, or the same content, count as the same.

    Args:
        img_root: folder that the names are relative to.
        file_names: of the images.
        stamps: number of an image -> what was read.
    """
    changed = []
    for number, stamp in stamps.items():
        path = resolve_under(img_root, file_names[number])
        try:
            found = path.stat()
            same = found.st_size == stamp.size and (
                found.st_mtime_ns == stamp.mtime or _read(path)[1].crc == stamp.crc
            )
        except OSError:
            same = False
        if not same:
            changed.append(path)
    return changed


def _read(path: str | Path) -> tuple[bytes, ImageStamp]:
    try:
        return _read_once(path)
    except OSError as error:
        if error.errno not in _FINAL:
            time.sleep(_RETRY_SECONDS)
            try:
                return _read_once(path)
            except OSError as second:
                error = second
        if error.errno in (errno.ENOENT, errno.ENOTDIR):
            raise FileNotFoundError(f'{_shown(path)}: no such image{name_hint(path)}') from None
        reason = error.strerror or str(error)
        raise OSError(f'{_shown(path)}: cannot be decoded (cannot be read: {reason})') from error


def _shown(path: str | Path) -> str:
    text = str(path)
    return text if len(text) <= 600 else f'{text[:300]}...{text[-100:]}'


def _read_once(path: str | Path) -> tuple[bytes, ImageStamp]:
    content, found = read_plain_file(path)
    return content, ImageStamp(len(content), found.st_mtime_ns, zlib.crc32(content))
