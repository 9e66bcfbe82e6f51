"""One run at a time on an output file, on one machine or on several."""

from __future__ import annotations

import errno
import json
import os
import socket
import time
from pathlib import Path
from typing import Any

from ..formats.atomic import is_alive

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

# for a run that is just ending
PATIENCE_SECONDS = 1.0
# file systems without locks: some cluster disks, some network disks
_NO_LOCKS = (errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOLCK)


class InUseError(RuntimeError):
    """Another run holds the lock; says which."""


class JobLock:
    """A lock on a folder, held in common by the ranks of a run.

    The first rank takes it alone and then shares it: whoever wants to start has to have it alone,
    so that nobody starts while any rank of an earlier run lives. The kernel frees it when a
    process ends, however it ends; over NFS the server does. Where a file system has no locks, a
    file that names its owner stands in, and one that a killed run on another machine has left has
    to be deleted by hand.

    Args:
        path: of the lock file; its folder is made if need be.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._file: int | None = None
        self._by_name = False

    @property
    def held(self) -> bool:
        """Whether this object holds the lock."""
        return self._by_name or self._file is not None

    def take(self, patience: float | None = None) -> None:
        """Take the lock alone, then share it with the other ranks, see `join`.

        Args:
            patience: seconds to wait for a run that is just ending; None: PATIENCE_SECONDS.

        Raises:
            InUseError: another run holds it.
            OSError: the lock file cannot be made.
        """
        deadline = time.monotonic() + (PATIENCE_SECONDS if patience is None else patience)
        while not self._try_to_take():
            if time.monotonic() > deadline:
                raise InUseError(self._who())
            time.sleep(0.05)

    def join(self) -> None:
        """Hold the lock too, as a further rank of the run that has taken it.

        Raises:
            InUseError: another run has taken it meanwhile.
        """
        if fcntl is None:
            return
        self.path.parent.mkdir(exist_ok=True)  # also makes a network disk look again
        self._file = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(self._file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise InUseError(self._who()) from None

    def remove(self) -> None:
        """Delete the lock file, at the end of the work that it guards; then `release`."""
        self.path.unlink(missing_ok=True)

    def release(self) -> None:
        """Let go; nothing happens the second time."""
        if self._by_name:
            self.path.unlink(missing_ok=True)
            self._by_name = False
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _try_to_take(self) -> bool:
        self.path.parent.mkdir(exist_ok=True)
        if fcntl is None:
            return self._take_by_name()
        try:
            file = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644)
        except FileNotFoundError:  # the run before has just removed the folder
            return False
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # the file may have been removed, with its folder, while we were asking for it
            if not self._is_at_path(file):
                os.close(file)
                return False
            self._sign(file)
            # not atomic: should somebody come between, this fails, and they have it
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError as error:
            os.close(file)
            if error.errno in _NO_LOCKS:
                return self._take_by_name()
            if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                raise
            return False
        self._file = file
        return True

    def _take_by_name(self) -> bool:
        owner = self._owner()
        here = owner.get('host') == socket.gethostname()
        if here and not (type(owner.get('pid')) is int and is_alive(owner['pid'])):
            self.path.unlink(missing_ok=True)
        elif not owner and self.path.is_file() and not self.path.stat().st_size:
            self.path.unlink(missing_ok=True)  # left by the attempt to lock it
        try:
            file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o644)
        except (FileExistsError, FileNotFoundError):
            return False
        self._sign(file)
        os.close(file)
        self._by_name = True
        return True

    def _is_at_path(self, file: int) -> bool:
        try:
            return os.path.samestat(os.fstat(file), self.path.stat())
        except FileNotFoundError:
            return False

    @staticmethod
    def _sign(file: int) -> None:
        me = {
            'host': socket.gethostname(),
            'pid': os.getpid(),
            'since': time.strftime('%Y-%m-%d %H:%M:%S'),
        }
        os.ftruncate(file, 0)
        os.write(file, json.dumps(me).encode())
        os.fsync(file)

    def _owner(self) -> dict[str, Any]:
        try:
            owner = json.loads(self.path.read_text())
        except (OSError, ValueError):
            return {}
        return owner if isinstance(owner, dict) else {}

    def _who(self) -> str:
        owner = self._owner()
        who = (
            f'process {owner.get("pid")} on {owner.get("host")}, since {owner.get("since")}'
            if owner
            else 'another process'
        )
        fix = 'wait for it, or stop it'
        if owner and owner.get('host') != socket.gethostname():
            fix += f'; if it is gone for certain, delete {self.path}'
        return f'{self.path.parent} is in use: {who}; {fix}'
