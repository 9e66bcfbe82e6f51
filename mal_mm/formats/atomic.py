"""Files that appear whole or not at all."""

from __future__ import annotations

import errno
import glob
import hashlib
import os
import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

# part of the names of temporary files: a number of a process means something on its machine alone
_HOST = hashlib.sha256(socket.gethostname().encode()).hexdigest()[:6]


@contextmanager
def atomic_write(
    path: str | Path, mode: str = 'w', encoding: str | None = 'utf-8'
) -> Iterator[IO[Any]]:
    """Open a file for writing that takes `path`'s place only once it is complete.

    The bytes go to a hidden temporary file in the same folder (os.replace is atomic only within
    one file system), are flushed to the disk, and the file is then renamed. If the block raises,
    the temporary file goes and whatever was at `path` stays. A symbolic link is written through.

    Args:
        path: where the file will appear; its folder must exist.
        mode: 'w' (text, '\\n' line ends everywhere) or 'wb'.
        encoding: of text; ignored for 'wb'.

    Yields:
        The open temporary file.

    Raises:
        ValueError: another mode.
        OSError: the folder is missing, `path` is not a plain file, the disk is full, ...;
            `path` is named. What the block itself raises passes unchanged.
    """
    if mode not in ('w', 'wb'):
        raise ValueError(f"`mode` must be 'w' or 'wb', got {mode!r}")
    path = Path(path)
    target = path.resolve()
    _refuse_impossible(path, target)
    # Not tempfile.mkstemp: its files are readable by the owner only, whatever the umask says.
    start = f'.{target.name[:100]}.{_HOST}'
    _remove_remains(target.parent, start)
    temporary = target.with_name(f'{start}-{os.getpid()}-{secrets.token_hex(3)}.tmp')
    text: dict[str, Any] = {'encoding': encoding, 'newline': '\n'} if mode == 'w' else {}
    try:
        with temporary.open(mode.replace('w', 'x'), **text) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(target)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename in (None, str(temporary)):
            reason = error.strerror or str(error)
            raise OSError(
                error.errno or errno.EIO, f'cannot write: {reason}', str(path)
            ) from error
        raise


def _remove_remains(folder: Path, start: str) -> None:
    """Delete what processes of this machine that were killed have left of the same file."""
    for path in folder.glob(f'{glob.escape(start)}-*-*.tmp'):
        number = path.name.rsplit('-', 2)[1]
        if number.isdigit() and not is_alive(int(number)):
            path.unlink(missing_ok=True)


def is_alive(pid: int) -> bool:
    """Whether there is a process of this number on this machine."""
    if os.name == 'nt':  # there, asking this way ends it
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:  # somebody else's
        return True
    return True


def _refuse_impossible(path: Path, target: Path) -> None:
    if not target.parent.is_dir():
        raise FileNotFoundError(
            errno.ENOENT, f'folder {path.parent} does not exist; create it first', str(path)
        )
    if target.is_dir():
        raise IsADirectoryError(errno.EISDIR, 'is a folder; give the name of a file', str(path))
    if target.exists() and not target.is_file():
        # Renaming over /dev/null or a pipe would replace the device itself.
        raise OSError(errno.EINVAL, 'is not a plain file; give the name of a file', str(path))
