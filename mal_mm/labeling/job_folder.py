"""The folder in which a run of labeling keeps what is done: whose it is, and what may go."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from ..formats.atomic import atomic_write
from .job_lock import InUseError, JobLock

IDENTITY, LOCK, PARTS = 'job.json', 'lock', '*.part'
_REMAINS = f'.{IDENTITY}.*.tmp'  # of a start that was killed


class JobError(RuntimeError):
    """The job cannot start or end as asked; says why and how to fix it."""


class JobFolder:
    """`OUT.parts`: the identity of a run (job.json), its lock, and a part file for each rank.

    Args:
        path: of the folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lock = JobLock(path / LOCK)

    def open(self, identity: Mapping[str, str], resume: bool) -> None:
        """Make the folder, or see that the one there belongs to this run; lock it.

        Args:
            identity: what the results depend on.
            resume: going on is asked for.

        Raises:
            JobError: it is in use, no folder of a run, of another run, or there is an interrupted
                run and `resume` is False.
            OSError: it cannot be made.
        """
        self._refuse_foreign()
        try:
            self.lock.take()
        except InUseError as error:
            raise JobError(str(error)) from None
        try:
            self._refuse_foreign()
            for remains in self.path.glob(_REMAINS):
                remains.unlink()
            if (self.path / IDENTITY).exists():
                self._check_identity(identity, resume)
                return
            with atomic_write(self.path / IDENTITY) as stream:
                json.dump(dict(identity), stream, indent=2)
        except BaseException:
            self.close()
            raise

    def join(self) -> None:
        """As a further rank of the run that has opened it; raises JobError."""
        try:
            self.lock.join()
        except InUseError as error:
            raise JobError(str(error)) from None

    def close(self) -> None:
        """Let go of the lock; a folder in which nothing is yet goes too."""
        # without the lock it may be the folder of a run that has just started
        if self.lock.held and self._names() == {LOCK}:
            self.remove()
        self.lock.release()

    def remove(self) -> None:
        """Delete what a run has written there; a user's own files, and then the folder, stay."""
        for each in (*self.path.glob(PARTS), self.path / IDENTITY):
            each.unlink(missing_ok=True)
        self.lock.remove()
        with suppress(OSError):
            self.path.rmdir()
        self.lock.release()
        # network disks keep a removed file that is open under another name
        with suppress(OSError):
            self.path.rmdir()

    def _refuse_foreign(self) -> None:
        try:
            names = self._names()
        except NotADirectoryError:
            raise JobError(
                f'{self.path} is a file, and results on their way are kept in a folder of that '
                'name; move it, or choose another --out'
            ) from None
        if IDENTITY in names:
            return
        foreign = sorted(name for name in names if name != LOCK and not Path(name).match(_REMAINS))
        if foreign:
            raise JobError(
                f'{self.path} is no folder of a labeling run: it has no {IDENTITY}, but holds '
                f'{", ".join(foreign[:3])}{", ..." if len(foreign) > 3 else ""}; nothing in it '
                'was touched. Move it away, or choose another --out'
            )

    def _names(self) -> set[str]:
        """What is in the folder; nothing where it is not there, or just goes."""
        try:
            return {each.name for each in self.path.iterdir()}
        except FileNotFoundError:
            return set()

    def _check_identity(self, identity: Mapping[str, str], resume: bool) -> None:
        if not resume:
            raise JobError(
                f'{self.path} holds an interrupted run; add --resume to go on with it, or '
                'delete the folder to start anew'
            )
        file = self.path / IDENTITY
        try:
            before = json.loads(file.read_text(encoding='utf-8'))
            if not isinstance(before, dict):
                raise ValueError(f'a {type(before).__name__}')
        except (OSError, ValueError) as error:
            raise JobError(
                f'{file} is damaged ({error}), so it is not known what the results beside it are '
                'of; nothing was touched. Move the folder away to start anew'
            ) from None
        differences = [
            f'{key} was {before.get(key)}, now {identity.get(key)}'
            for key in {**before, **identity}
            if before.get(key) != identity.get(key)
        ]
        if differences:
            raise JobError(
                f'{self.path} belongs to another run: {"; ".join(differences)}; masks of both '
                'would be mixed. Call it as before, or delete the folder to start anew'
            )
