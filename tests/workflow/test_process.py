"""A step as a process."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import threading
import time
import warnings

import pytest

from mal_mm.workflow.process import last_lines, run_logged
from mal_mm.workflow.state import RefusedError, only_one

pytestmark = pytest.mark.slow  # nothing here depends on the stack


def gone(pid: int, seconds: float = 10) -> bool:
    """Whether a process ends within some seconds."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            with open(f'/proc/{pid}/stat') as file:  # noqa: PTH123
                if file.read().rpartition(')')[2].split()[0] == 'Z':
                    return True
        except FileNotFoundError:
            return True
        time.sleep(0.01)
    return False


def wait_for(path, seconds: float = 20) -> str:
    deadline = time.monotonic() + seconds
    while not (path.is_file() and path.read_text().strip()):
        assert time.monotonic() < deadline, f'{path} did not appear'
        time.sleep(0.01)
    return path.read_text()


def test_output_is_shown_and_kept_over_attempts(tmp_path, capfd):
    log = tmp_path / 'step.log'
    script = 'echo out; echo err >&2; printf "10 %%\\r99 %%\\r100 %%\\n"; exit $STATUS'
    for status in (3, 0):
        environment = {**os.environ, 'STATUS': str(status)}
        assert run_logged(['sh', '-c', script], log, environment) == status
    assert capfd.readouterr().out.count('out\nerr\n') == 2
    kept = last_lines(log)
    assert kept[1:4] == kept[5:8] == ['out', 'err', '100 %']
    assert kept[0].startswith('=== ')
    assert last_lines(log, 2) == ['err', '100 %']


def test_the_pipe_is_closed_and_nobody_is_warned(tmp_path):
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter('always')
        assert run_logged(['true'], tmp_path / 'step.log', {**os.environ}) == 0
        gc.collect()
    assert [each.message for each in seen] == []


@pytest.mark.skipif(not os.path.exists('/dev/full'), reason='needs /dev/full')  # noqa: PTH110
@pytest.mark.parametrize('room', [0, 3000])
def test_a_full_disk_under_the_log_neither_stops_nor_hangs_the_step(tmp_path, room):
    log = tmp_path / 'step.log'
    if not room:
        log.symlink_to('/dev/full')
    # much more than a pipe holds
    step = 'i=0; while [ $i -lt 20000 ]; do echo 0123456789; i=$((i+1)); done; exit 3'
    script = (
        'import os, resource, sys\n'
        'from pathlib import Path\n'
        'from mal_mm.workflow.process import run_logged\n'
        f'if {room}: resource.setrlimit(resource.RLIMIT_FSIZE, ({room}, {room}))\n'
        f'sys.exit(run_logged(["sh", "-c", {step!r}], Path({str(log)!r}), dict(os.environ)))\n'
    )
    # a pipe, not a file: the limit would hold for what the test reads too
    run = subprocess.run([sys.executable, '-c', script], stdout=subprocess.PIPE, timeout=120)
    assert run.returncode == 3
    said = run.stdout.decode()
    assert said.count('0123456789') == 20000
    assert said.count(f'the log {log} cannot be written') == 1
    if room:
        assert 0 < log.stat().st_size <= room


def test_signal_is_told_as_shells_do(tmp_path):
    status = run_logged(['sh', '-c', 'kill -SEGV $$'], tmp_path / 'log', dict(os.environ))
    assert status == 128 + signal.SIGSEGV


def test_interruption_ends_the_command_and_what_it_started(tmp_path):
    # the step ends by itself when told to; its own child ignores that
    script = (
        'trap "echo stopped > ended; exit 0" TERM\n'
        'sh -c "trap : TERM; while :; do sleep 0.05; done" & echo $! > child\n'
        'while :; do sleep 0.05; done'
    )
    child = tmp_path / 'child'

    def interrupt():
        wait_for(child)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt).start()
    with pytest.raises(KeyboardInterrupt):
        run_logged(['sh', '-c', f'cd {tmp_path}\n{script}'], tmp_path / 'log', dict(os.environ))
    assert (tmp_path / 'ended').read_text() == 'stopped\n'
    assert gone(int(child.read_text()))


@pytest.mark.skipif(sys.platform != 'linux', reason='prctl')
def test_command_of_a_killed_run_ends_and_its_work_dir_is_free_again(tmp_path):
    run = os.fork()
    if run == 0:
        with only_one(tmp_path) as lock:
            command = ['sh', '-c', f'echo $$ > {tmp_path}/pid; exec sleep 60']
            run_logged(command, tmp_path / 'log', dict(os.environ), [lock])
        os._exit(0)
    step = int(wait_for(tmp_path / 'pid'))
    with pytest.raises(RefusedError, match='another run'), only_one(tmp_path, patience=0):
        pass
    os.kill(run, signal.SIGKILL)
    os.waitpid(run, 0)
    assert gone(step)
    with only_one(tmp_path, patience=5):
        pass
