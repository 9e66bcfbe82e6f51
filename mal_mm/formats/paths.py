"""Paths that come out of annotation files, which anybody may have written."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from .errors import shorten

_MAX_NAME = 4096  # of the longest path that Linux takes


def image_file_name(image: Mapping[str, Any]) -> Any:
    """Name of an image's file relative to the image folder, as its record gives it.

    LVIS v1 has no `file_name`; there the `coco_url` ends in folder and name, and the folder
    matters: its validation images come from COCO's train2017 and val2017.

    Args:
        image: a record of a COCO-style file's `images`.

    Returns:
        `file_name`, or the path of `coco_url` ('train2017/000000391895.jpg'); None where the
        record has neither. Not checked: that is up to `resolve_under`.
    """
    if image.get('file_name') is None and isinstance(image.get('coco_url'), str):
        with suppress(ValueError):  # no address at all: then it is the name, and is not found
            return urlsplit(image['coco_url']).path.lstrip('/')
        return image['coco_url']
    return image.get('file_name')


def resolve_under(root: str | Path, file_name: str) -> Path:
    """Join an annotation's `file_name` to the image folder and refuse names that leave it.

    The check reads the name only, so symbolic links below the root are followed as usual
    (data sets are often linked in from another disk), and the file need not exist.

    Args:
        root: the image folder (`--img-root`).
        file_name: a name relative to it; sub-folders, spaces and non-ASCII letters are fine.

    Returns:
        `root / file_name`, neither resolved nor checked for existence.

    Raises:
        ValueError: the name is no string, is empty, absolute, or steps out through `..`.
    """

    def refuse(reason: str) -> ValueError:
        return ValueError(
            f'`file_name` {shorten(file_name, 200)} {reason}; file names must lie under the image '
            f"folder '{root}', give them relative to it"
        )

    if not isinstance(file_name, str):
        raise refuse(f'is {type(file_name).__name__}, not a string')
    if len(file_name) > _MAX_NAME:
        raise refuse(f'is {len(file_name)} letters long')
    if '\0' in file_name:
        raise refuse('holds a NUL character')
    # Backslashes separate folders on Windows only, but a file written there may be read here.
    parts = [part for part in re.split(r'[\\/]', file_name) if part not in ('', '.')]
    if not parts:
        raise refuse('names no file')
    name = Path(file_name)
    if name.is_absolute() or name.drive or name.root:
        raise refuse('is an absolute path')
    if '..' in parts:
        raise refuse("steps out of its folder through '..'")
    return Path(root) / name
