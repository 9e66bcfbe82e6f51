"""What a run of two phases has done so far, in one file that survives kills."""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..formats import atomic_write
from ..version import __version__

STATE_FILE = 'state.json'
LOCK_FILE = '.lock'
WAITING, RUNNING, DONE, FAILED, STOPPED = 'waiting', 'running', 'done', 'failed', 'stopped'


class RefusedError(RuntimeError):
    """The run cannot start as asked; says why and how to fix it."""


class RunState:
    """Arguments and steps of a run, kept in WORK_DIR/state.json.

    A step is a dict of `status` (waiting, running, done, failed, stopped), `attempts`, `seconds`
    of all attempts, `exit_status`, and once it was started `command`, `log`, `outputs`, `started`
    and `ended` (local time, ISO 8601). One that is `running` while no run is was killed.

    Args:
        work_dir: folder of the run.
        arguments: what the results depend on, of plain JSON types.
        steps: names of the steps, in order.
    """

    def __init__(self, work_dir: Path, arguments: Mapping[str, Any], steps: Iterable[str]) -> None:
        self.path = Path(work_dir) / STATE_FILE
        self.arguments = dict(arguments)
        self.steps: dict[str, dict[str, Any]] = {}
        for name in steps:
            self.reset(name)

    def reset(self, name: str) -> None:
        """Forget what a step has done."""
        self.steps[name] = dict(status=WAITING, attempts=0, seconds=0.0, exit_status=None)

    def take_over(self) -> dict[str, str] | None:
        """Take over the steps of an earlier call, if there was one.

        Returns:
            Name of each argument that was another one then -> what it was and is now; None where
            there was no call.

        Raises:
            RefusedError: the file is damaged.
        """
        if not self.path.exists():
            return None
        try:
            before = json.loads(self.path.read_text(encoding='utf-8'))
            arguments, steps = dict(before['arguments']), dict(before['steps'])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise RefusedError(
                f'{self.path} cannot be read ({error!r}); start anew with --restart'
            ) from None
        for name, step in self.steps.items():
            step.update(steps.get(name, {}))
        return {
            key: f'{key} was {arguments.get(key)!r}, is now {self.arguments.get(key)!r}'
            for key in {**arguments, **self.arguments}
            if arguments.get(key) != self.arguments.get(key)
        }

    def save(self) -> None:
        """Write the file, whole or not at all."""
        content = {'version': __version__, 'arguments': self.arguments, 'steps': self.steps}
        with atomic_write(self.path) as file:
            json.dump(content, file, indent=2)

    def start(self, name: str, **facts: Any) -> None:
        """Note that a step begins; `facts` go into its record."""
        step = self.steps[name]
        step.pop('ended', None)
        facts.update(status=RUNNING, attempts=step['attempts'] + 1, exit_status=None)
        step.update(facts, started=_now())
        self.save()

    def end(self, name: str, status: str, seconds: float, exit_status: int | None = None) -> None:
        """Note how a step ended, and after how many seconds of this attempt."""
        step = self.steps[name]
        step.update(status=status, ended=_now(), exit_status=exit_status)
        step['seconds'] = round(step['seconds'] + seconds, 1)
        self.save()


@contextmanager
def only_one(work_dir: Path, patience: float = 20) -> Iterator[int]:
    """Keep a second run out of a work dir while a first one, or a process it left, works in it.

    Args:
        work_dir: an existing folder.
        patience: seconds to wait; data workers of a killed training need some to notice.

    Yields:
        The file descriptor that holds the lock. A process that inherits it holds the lock too,
        and goes on holding it if this one is killed.

    Raises:
        RefusedError: somebody else holds it.
    """
    file = os.open(work_dir / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        deadline = time.monotonic() + patience
        while not _lock(file):
            if time.monotonic() > deadline:
                raise RefusedError(
                    f'another run, or a step that a killed one left behind, works in {work_dir} '
                    f'(`fuser {work_dir / LOCK_FILE}` names it); wait for it or stop it'
                )
            time.sleep(0.1)
        yield file
    finally:
        os.close(file)


def _lock(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _now() -> str:
    return time.strftime('%Y-%m-%dT%H:%M:%S')
