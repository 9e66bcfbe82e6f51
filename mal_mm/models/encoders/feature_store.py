"""Feature maps on disk, shared by processes and kept for the next run."""

from __future__ import annotations

import os
import secrets
import struct
import time
import zlib
from contextlib import suppress
from pathlib import Path

import numpy as np

# channels, height, width, checksum of the values
_HEAD = struct.Struct('<4I')
_SUFFIX = '.map'
# what a killed process left behind is removed after so many seconds
_STALE_SECONDS = 3600


class FeatureStore:
    """A folder with one file for each feature map: half floats behind a checksum.

    A file appears under its name whole (a temporary file is renamed), and one that a crash of the
    machine has damaged counts as absent. So any number of processes may read and write one folder
    and be killed at any moment.

    When the folder is full, maps that nobody has used since this process began make room, the
    longest unused first. Maps of this process stay: a training that goes round and round more
    crops than fit would otherwise throw each one out before its turn comes.

    Args:
        folder: made with the first map.
        max_bytes: of all files together; several processes that fill it at once may each go over
            it by what the others write.
    """

    def __init__(self, folder: str | Path, max_bytes: int) -> None:
        self.folder = Path(folder)
        self.max_bytes = max_bytes
        self.full = False
        self._began = time.time_ns()
        self._bytes: int | None = None  # not counted yet

    def get(self, key: str) -> np.ndarray | None:
        """(C, h, w) float16 of a key (letters, digits, `/`), or None."""
        path = self._path(key)
        try:
            content = np.fromfile(path, dtype=np.uint8)
        except OSError:  # it is not there, or not ours to read
            return None
        values = content[_HEAD.size :]
        if len(content) < _HEAD.size:
            return None
        *shape, checksum = _HEAD.unpack_from(content.data)
        if len(values) != 2 * int(np.prod(shape)) or zlib.crc32(values.data) != checksum:
            return None
        with suppress(OSError):  # another user's, or just removed by another process
            _touch(path)
        return values.view(np.float16).reshape(shape)

    def put(self, key: str, feature: np.ndarray) -> bool:
        """Keep a map.

        Args:
            key: letters, digits and `/`.
            feature: (C, h, w) float16.

        Returns:
            Whether it was kept; False when the folder is full.

        Raises:
            OSError: the folder cannot be written to.
        """
        values = np.ascontiguousarray(feature, dtype=np.float16).tobytes()
        size = _HEAD.size + len(values)
        if self._bytes is None:
            self._bytes = sum(size for _, size, _ in self._files())
        if not self.full and self._bytes + size > self.max_bytes:
            self._make_room(size)
        if self.full:
            return False
        path = self._path(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f'.{path.name}.{secrets.token_hex(6)}.tmp')
        try:
            with temporary.open('xb') as file:
                file.write(_HEAD.pack(*feature.shape, zlib.crc32(values)))
                file.write(values)
            _touch(temporary)
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        self._bytes += size
        return True

    def _path(self, key: str) -> Path:
        return self.folder / f'{key}{_SUFFIX}'

    def _files(self) -> list[tuple[int, int, Path]]:
        """(time of last use in ns, bytes, path) of each map; rests of killed processes go."""
        files = []
        for path in self.folder.rglob('*'):
            try:
                stat = path.stat()
                if path.suffix == _SUFFIX:
                    files.append((stat.st_mtime_ns, stat.st_size, path))
                elif path.suffix == '.tmp' and stat.st_mtime < time.time() - _STALE_SECONDS:
                    path.unlink()
            except FileNotFoundError:  # removed by another process in this moment
                continue
        return files

    def _make_room(self, size: int) -> None:
        files = sorted(self._files(), key=lambda file: file[0])
        self._bytes = sum(file[1] for file in files)
        # a tenth more than needed, lest the folder be read again for every map
        wanted = max(self.max_bytes - max(size, self.max_bytes // 10), 0)
        for last_use, used, path in files:
            if self._bytes <= wanted or last_use >= self._began:
                break
            path.unlink(missing_ok=True)
            self._bytes -= used
        self.full = self._bytes + size > self.max_bytes


def _touch(path: Path) -> None:
    # by this process's clock: that of the file system is coarser, or another machine's
    now = time.time_ns()
    os.utime(path, ns=(now, now))
