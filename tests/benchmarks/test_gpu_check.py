"""The script for a GPU, as far as a machine without one can tell."""

from __future__ import annotations

import json
import os
import signal
import time
import warnings

import pytest

pytestmark = pytest.mark.slow  # one stack will do

WAIT = 'called a synchronizing CUDA operation'


@pytest.fixture
def gpu_check():
    import gpu_check  # only now: conftest has put its folder on the path

    return gpu_check


def run(module, tmp_path, *options: str) -> dict:
    out = tmp_path / 'check.json'
    status = module.main(['--device', 'cpu', '--size', 'tiny', '--out', str(out), *options])
    report = json.loads(out.read_text())
    assert status == any(part['status'] != 'ok' for part in report['parts'].values())
    return report


def test_every_part_runs_on_a_cpu_and_is_in_the_table(gpu_check, tmp_path, capsys):
    report = run(gpu_check, tmp_path)
    table = capsys.readouterr().out
    assert list(report['parts']) == ['machine', *gpu_check.PARTS]
    for name, part in report['parts'].items():
        assert part['status'] == 'ok', part['log']
        assert f'\n{name} ' in f'\n{table}'
    rates = {
        name: part['value'][0]['value']
        for name, part in report['parts'].items()
        if name not in ('machine', 'tests', 'waits')
    }
    assert all(rate > 0 for rate in rates.values()), rates
    assert '>= 1000' in table
    # goals are for a GPU at full size
    assert 'met' not in table.split() and 'missed' not in table.split()


def test_what_fails_hangs_or_dies_is_a_line_and_the_rest_goes_on(
    gpu_check, monkeypatch, tmp_path, capsys
):
    def fails(*_):
        raise RuntimeError('CUDA out of memory')

    parts = {
        'fails': (fails, 9),
        'hangs': (lambda *_: time.sleep(60), 0.3),
        'dies': (lambda *_: os.kill(os.getpid(), signal.SIGKILL), 9),
        'works': (lambda *_: [gpu_check.Row('speed', 2.0, 'm/s')], 9),
    }
    monkeypatch.setattr(gpu_check, 'PARTS', parts)
    report = run(gpu_check, tmp_path)
    states = {name: part['status'] for name, part in report['parts'].items()}
    assert states == dict(
        machine='ok', fails='failed', hangs='too long', dies='failed', works='ok'
    )
    table = capsys.readouterr().out
    assert 'FAILED: RuntimeError: CUDA out of memory' in table
    assert 'TOO LONG: stopped after 0 s' in table
    assert 'status -9 (killed; out of memory?)' in table
    assert '2 m/s' in table


def test_parts_are_chosen_by_the_start_of_their_names(gpu_check, tmp_path, capsys):
    report = run(gpu_check, tmp_path, '--only', 'mean', '--limit', '0')
    assert list(report['parts']) == ['machine', 'mean_field']
    assert report['parts']['mean_field']['status'] == 'not begun'
    with pytest.raises(SystemExit):
        run(gpu_check, tmp_path, '--only', 'segmenter')
    assert 'segmenter: there is no such part; there are tests, mean' in capsys.readouterr().err


def test_goals_are_bounds(gpu_check):
    assert gpu_check.Row('', 0.5, goal=('<=', 0.5)).verdict() == 'met'
    assert gpu_check.Row('', 999, goal=('>=', 1000)).verdict() == 'missed'
    assert gpu_check.Row('', 999).verdict() == ''


def test_waits_for_the_gpu_are_counted_by_their_line(gpu_check):
    def ask():
        warnings.warn(WAIT, stacklevel=1)

    def work():
        for _ in range(3):
            ask()
        warnings.warn('something else', stacklevel=1)

    (place,) = gpu_check.training.waiting_places(work).items()
    line = ask.__code__.co_firstlineno + 1
    assert place == (f'test_gpu_check.py:{line}', 3)
