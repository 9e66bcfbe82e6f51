"""A step as a process: its output is shown and kept, and it goes when the run goes."""

from __future__ import annotations

import ctypes
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

_PR_SET_PDEATHSIG = 1
_GRACE_SECONDS = 30


def run_logged(
    command: Sequence[str], log: Path, environment: dict[str, str], keep_open: Iterable[int] = ()
) -> int:
    """Run a command; what it prints goes to our stdout and to the end of a log file.

    However this ends (an exception such as KeyboardInterrupt included), the command and what it
    has started are gone afterwards: it gets SIGTERM and half a minute to end, then SIGKILL. On
    Linux it gets SIGTERM too if this process is killed.

    Args:
        command: program and arguments.
        log: its folder must exist.
        environment: of the command.
        keep_open: file descriptors that the command inherits.

    Returns:
        Exit status; 128 + n if signal n ended it, as shells have it.
    """
    # unbuffered, so that what a full disk refuses is not tried again at the end
    with log.open('ab', buffering=0) as file:
        sinks = _Sinks(file)
        sinks.write_log(f'=== {time.strftime("%F %T")} {" ".join(command)}\n'.encode())
        process = None
        try:
            with _signals_held_back():
                process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    env=environment,
                    pass_fds=tuple(keep_open),
                    # Ctrl-C reaches us alone, so that there is one place that stops it
                    start_new_session=True,
                    preexec_fn=_die_with_parent if sys.platform == 'linux' else None,
                )
                copier = threading.Thread(target=_copy, args=(process.stdout, sinks), daemon=True)
                copier.start()
            status = _wait(process)
        except BaseException:
            if process is not None:
                process.terminate()
                with suppress(subprocess.TimeoutExpired):
                    process.wait(_GRACE_SECONDS)
            raise
        finally:
            if process is not None:
                # data workers, ranks: they would keep the pipe open
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                copier.join()
                if process.stdout is not None:
                    process.stdout.close()
    return status if status >= 0 else 128 - status


@contextmanager
def _signals_held_back() -> Iterator[None]:
    """A signal between the start of a process and its name here would leave it running."""
    arrived: list[int] = []
    handlers = {
        number: signal.signal(number, lambda number, frame: arrived.append(number))
        for number in (signal.SIGINT, signal.SIGTERM)
        if signal.getsignal(number) not in (signal.SIG_IGN, None)
    }
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        for came in arrived:
            signal.raise_signal(came)


def _wait(process: subprocess.Popen) -> int:
    # In pieces: Python reacts to a signal that arrives just before an endless wait only after it.
    while True:
        with suppress(subprocess.TimeoutExpired):
            return process.wait(timeout=1)


def last_lines(log: Path, number: int = 20) -> list[str]:
    """The end of a log; of a progress bar, which rewrites its line, the last state."""
    with log.open('rb') as file:
        file.seek(max(0, log.stat().st_size - 20_000))
        text = file.read().decode('utf-8', errors='replace')
    lines = [re.split('\r', line.rstrip('\r'))[-1] for line in text.split('\n')]
    return [line for line in lines if line.strip()][-number:]


class _Sinks:
    """Log and terminal. One that fails is left alone: the step's pipe has to be read on."""

    def __init__(self, log: IO[bytes]) -> None:
        self.log: IO[bytes] | None = log
        self.terminal = getattr(sys.stdout, 'buffer', None)

    def write_log(self, data: bytes) -> None:
        rest = memoryview(data)
        try:
            while self.log is not None and rest:
                rest = rest[self.log.write(rest) :]
        except OSError as error:
            name, self.log = getattr(self.log, 'name', ''), None
            self.show(
                f'\nrun_two_phase: the log {name} cannot be written ({error.strerror}); the step '
                'goes on without it\n'.encode()
            )

    def show(self, data: bytes) -> None:
        try:
            if self.terminal is not None:
                self.terminal.write(data)
                self.terminal.flush()
        except (OSError, ValueError):
            self.terminal = None  # nobody reads it any more; the log goes on


def _copy(source: IO[bytes], sinks: _Sinks) -> None:
    while chunk := os.read(source.fileno(), 65536):
        sinks.write_log(chunk)
        sinks.show(chunk)


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
