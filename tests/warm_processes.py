"""Real processes that need not import for five seconds first.

Before the first test of a pytest process, when all test files are imported and nothing has run,
`begin` forks a server. It forks once more for each command, and that child becomes
`python SCRIPT ARGUMENTS` or `python -m MODULE ARGUMENTS`: with its own id, session, folder,
environment and output, with Python's handling of signals, and without anything that a test has
done. It can be interrupted, stopped and killed as any process.

Not for tests of what is imported when, nor for variables that are read while importing.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import logging
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NoReturn

# what the tools import when they have read their arguments
WARM = (
    'mmdet.models',
    'mmdet.datasets',
    'mmdet.utils',
    'mmengine.runner',
    'torch.distributed',
    'mal_mm.models',
    'mal_mm.hooks',
    'mal_mm.launcher',
    'mal_mm.apis',
    'mal_mm.evaluation',
)
WIDTH = 10  # of a number in the pipe that tells of a process
_server: socket.socket | None = None
_folder: tempfile.TemporaryDirectory  # of what the processes say


class Process:
    """A process of `start`; what it says is kept in a file, and read by `said`.

    Attributes:
        pid: its id.
        returncode: as subprocess has it, -9 after a kill; None while it runs.
    """

    def __init__(self, pid: int, status: int, files: tuple[Path, Path]) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._status = status
        self._files = files

    def poll(self) -> int | None:
        """`returncode`, looked up now."""
        return self._look(0)

    def wait(self, timeout: float = 120) -> int:
        """`returncode` once there is one."""
        if self._look(timeout) is None:
            self.kill()
            self._look(10)
            raise subprocess.TimeoutExpired(f'process {self.pid}: {self.said()}', timeout)
        return self.returncode

    def wait_until(self, happened: Callable[[], object], timeout: float = 120) -> None:
        """Return when something has happened that the running process does."""
        deadline = time.monotonic() + timeout
        while not happened():
            assert self._look(0.002) is None and time.monotonic() < deadline, self.said()

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """SIGKILL."""
        self.send_signal(signal.SIGKILL)

    def said(self) -> tuple[str, str]:
        """What it has written so far to stdout and to stderr."""
        out, err = (path.read_text('utf-8') for path in self._files)
        return out, err

    def communicate(self, timeout: float = 120) -> tuple[str, str]:
        """Wait; stdout and stderr."""
        self.wait(timeout)
        return self.said()

    def _look(self, seconds: float) -> int | None:
        if self.returncode is None and select.select([self._status], [], [], seconds)[0]:
            self.returncode = int(os.read(self._status, WIDTH))
            os.close(self._status)
        return self.returncode


def start(command: Sequence[object], cwd: Path, env: Mapping[str, str] | None = None) -> Process:
    """Start `[sys.executable, SCRIPT or '-m' MODULE, *arguments]` from the warm server."""
    words = [str(word) for word in command]
    assert words[0] == sys.executable, words
    assert _server is not None, 'conftest.py begins the server'
    place = Path(tempfile.mkdtemp(dir=_folder.name))
    files = place / 'stdout', place / 'stderr'
    receive, send = os.pipe()
    handles = [os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND) for path in files]
    request = {'words': words, 'cwd': str(cwd), 'env': {**(os.environ if env is None else env)}}
    socket.send_fds(_server, [json.dumps(request).encode()], [*handles, send])
    for handle in (*handles, send):
        os.close(handle)
    return Process(int(os.read(receive, WIDTH)), receive, files)


def run(
    command: Sequence[object], cwd: Path, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess:
    """`start`, and wait for the end."""
    process = start(command, cwd, env)
    out, err = process.communicate()
    return subprocess.CompletedProcess(command, process.returncode, out, err)


# -- in the server and its children ---------------------------------------------------------------


def begin() -> None:
    """Fork the server; it ends when this process does."""
    global _server, _folder
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    if os.fork() == 0:
        try:
            ours.close()
            _serve(theirs)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(1)
    theirs.close()
    _server = ours
    # not before the fork: children would remove it when they end
    _folder = tempfile.TemporaryDirectory(prefix='warm_')


def _serve(requests: socket.socket) -> NoReturn:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for pytest
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the keepers
    _let_go_of_files(requests.fileno())
    logging.root.handlers.clear()
    warm = False
    while True:
        message, (out, err, status), *_ = socket.recv_fds(requests, 1 << 20, 3)
        if not warm:
            for name in WARM:
                importlib.import_module(name)
            gc.collect()
            gc.freeze()
            warm = True
        if os.fork() == 0:
            _keep(json.loads(message), out, err, status)
        for handle in (out, err, status):
            os.close(handle)


def _let_go_of_files(but: int) -> None:
    """Whoever waits for the end of pytest's pipes shall not wait for our children."""
    empty = os.open(os.devnull, os.O_RDWR)
    for path in [*Path('/dev/fd').iterdir()]:
        if int(path.name) not in (but, empty) and path.exists():
            os.dup2(empty, int(path.name))


def _keep(request: dict, out: int, err: int, status: int) -> NoReturn:
    """Tell the id of a child, and how it has ended."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    child = os.fork()
    if child == 0:
        os.close(status)
        _become(request, out, err)
    os.write(status, b'%*d' % (WIDTH, child))
    _, ended = os.waitpid(child, 0)
    os.write(status, b'%*d' % (WIDTH, os.waitstatus_to_exitcode(ended)))
    os._exit(0)


def _become(request: dict, out: int, err: int) -> NoReturn:
    """Be the command, from its first line to the end of its process."""
    os.setsid()
    os.dup2(out, 1)
    os.dup2(err, 2)
    sys.stdin, sys.stdout = os.fdopen(0), os.fdopen(1, 'w', buffering=1)
    sys.stderr = os.fdopen(2, 'w', buffering=1, errors='backslashreplace')
    sys.__stdin__, sys.__stdout__, sys.__stderr__ = sys.stdin, sys.stdout, sys.stderr
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.chdir(request['cwd'])
    os.environ.clear()
    os.environ.update(request['env'])
    import torch

    if torch.cuda.is_available():  # a GPU does not survive a fork
        os.execve(sys.executable, request['words'], request['env'])
    torch.set_num_threads(int(os.environ.get('OMP_NUM_THREADS', 1)))
    status = 1
    try:
        _run_python(request['words'][1:])
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
        if status and not isinstance(end.code, int):
            print(end.code, file=sys.stderr)
    except BaseException:
        traceback.print_exc()
    finally:
        threading._shutdown()
        atexit._run_exitfuncs()
        sys.stdout.flush()
        os._exit(status)


def _run_python(words: list[str]) -> None:
    if words[0] == '-m':
        sys.argv = words[1:]
        runpy.run_module(words[1], run_name='__main__', alter_sys=True)
    else:
        sys.argv = words
        sys.path.insert(0, str(Path(words[0]).resolve().parent))
        runpy.run_path(words[0], run_name='__main__')
