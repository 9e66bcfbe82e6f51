"""Paths that come out of annotation files, which anybody may have written."""

from __future__ import annotations

import re
from pathlib import Path


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
            f'`file_name` {file_name!r} {reason}; file names must lie under the image folder '
            f"'{root}', give them relative to it"
        )

    if not isinstance(file_name, str):
        raise refuse(f'is {type(file_name).__name__}, not a string')
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
