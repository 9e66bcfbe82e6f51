import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from mal_mm.labeling import prefetch as module
from mal_mm.labeling.prefetch import prefetch


def test_results_come_in_order_whatever_is_ready_first():
    def load(number: int) -> int:
        time.sleep(0.01 * (number % 3))
        return number * number

    assert list(prefetch(range(20), load, 3)) == [(n, n * n) for n in range(20)]


def test_what_the_work_raises_comes_out_and_ends_it():
    def load(number: int) -> int:
        if number == 3:
            raise TimeoutError('a disk of the network')
        return number

    results = prefetch(range(9), load, 2)
    assert [next(results)[0] for _ in range(3)] == [0, 1, 2]
    with pytest.raises(TimeoutError, match='a disk of the network'):
        next(results)


def test_what_is_waited_for_is_said(monkeypatch, capsys):
    monkeypatch.setattr(module, 'SAY_AFTER_SECONDS', 0.05)
    ready = threading.Event()
    threading.Timer(0.2, ready.set).start()
    assert list(prefetch(['a.png'], lambda _: ready.wait(), 1, 'image {}'.format)) == [
        ('a.png', True)
    ]
    assert 'still waiting for image a.png after' in capsys.readouterr().err


@pytest.mark.slow
def test_a_read_that_never_returns_keeps_nobody_from_leaving():
    script = (
        'import threading\n'
        'from mal_mm.labeling.prefetch import prefetch\n'
        'def stuck(_):\n'
        '    print("stuck", flush=True)\n'
        '    threading.Event().wait()\n'
        'list(prefetch(range(9), stuck, 1))\n'
    )
    process = subprocess.Popen(
        [sys.executable, '-c', script],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, 'OMP_NUM_THREADS': '1'},
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    while process.stdout.readline() != 'stuck\n':
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=20)
    assert process.returncode == -signal.SIGINT
