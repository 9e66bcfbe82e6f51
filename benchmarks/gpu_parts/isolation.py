"""Work in a process of its own: what fails, hangs or is killed there stops nothing here."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Outcome:
    """How a piece of work ended.

    Args:
        status: 'ok', 'failed' or 'too long'.
        seconds: it took.
        value: what it returned, None unless 'ok'.
        error: one line; '' where it is 'ok'.
        log: the last lines that it wrote.
    """

    status: str
    seconds: float
    value: Any = None
    error: str = ''
    log: str = ''


def run_apart(work: Callable[[], Any], limit: float, folder: Path) -> Outcome:
    """Do `work` in a forked process and wait for it.

    The libraries are loaded already, so that this costs no start. It must not have used the GPU
    before: CUDA cannot be used on both sides of a fork.

    Args:
        work: returns what JSON can hold.
        limit: seconds, after which it is killed with all that it has started.
        folder: for its output.
    """
    result, log = folder / 'result.json', folder / 'log.txt'
    result.unlink(missing_ok=True)
    sys.stdout.flush()
    sys.stderr.flush()
    start = time.monotonic()
    child = os.fork()
    if child == 0:
        _work_and_exit(work, result, log)
    status = None
    try:
        while status is None and time.monotonic() - start < limit:
            ended, status = os.waitpid(child, os.WNOHANG)
            if not ended:
                status = None
                time.sleep(0.02)
    finally:
        if status is None:
            os.killpg(child, signal.SIGKILL)
            os.waitpid(child, 0)
    seconds = time.monotonic() - start
    lines = log.read_text(errors='replace').splitlines()[-40:] if log.exists() else []
    tail = '\n'.join(lines)
    if status is None:
        return Outcome('too long', seconds, error=f'stopped after {limit:.0f} s', log=tail)
    code = os.waitstatus_to_exitcode(status)
    if code or not result.exists():
        error = lines[-1] if code == 1 and lines else f'the process ended with status {code}'
        if code == -signal.SIGKILL:
            error += ' (killed; out of memory?)'
        return Outcome('failed', seconds, error=error, log=tail)
    return Outcome('ok', seconds, json.loads(result.read_text()), log=tail)


def _work_and_exit(work: Callable[[], Any], result: Path, log: Path) -> None:
    code = 1
    try:
        os.setpgid(0, 0)  # so that all it starts can be stopped with it
        sys.stdout = sys.stderr = file = log.open('w', buffering=1)
        os.dup2(file.fileno(), 1)  # what C++ and processes of its own write
        os.dup2(file.fileno(), 2)
        value = json.dumps(work())
        result.write_text(value)
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)  # neither pytest's nor Python's own end of the parent is to run here
