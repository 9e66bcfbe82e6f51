"""Reading files that have to be files: a pipe or a device would be waited for without end."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from pathlib import Path
from typing import BinaryIO


def read_plain_file(path: str | Path) -> tuple[bytes, os.stat_result]:
    """The content of a file, and what the system says about it.

    Raises:
        OSError: it cannot be read, is a folder, a pipe or a device.
    """
    with open_plain_file(path) as stream:
        return stream.read(), os.fstat(stream.fileno())


def open_plain_file(path: str | Path) -> BinaryIO:
    """Open a file for reading; errors as for `read_plain_file`."""
    # not to wait for a pipe's other end already when opening it
    file = os.open(path, os.O_RDONLY | getattr(os, 'O_NONBLOCK', 0) | getattr(os, 'O_BINARY', 0))
    kind = os.fstat(file).st_mode
    if stat.S_ISREG(kind):
        return open(file, 'rb')  # noqa: PTH123
    os.close(file)
    if stat.S_ISDIR(kind):
        raise IsADirectoryError(errno.EISDIR, 'is a folder', str(path))
    raise OSError(errno.EINVAL, 'is a pipe or a device, not a plain file', str(path))


def sha256(path: str | Path) -> str:
    """Hex digest of a file's content; errors as for `read_plain_file`."""
    digest = hashlib.sha256()
    with open_plain_file(path) as file:
        while piece := file.read(2**20):
            digest.update(piece)
    return digest.hexdigest()
