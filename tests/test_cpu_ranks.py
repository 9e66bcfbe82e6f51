"""Processes that do not find each other."""

import socket
import time

import pytest

from mal_mm.compat.cpu_ranks import RanksError, connect_gloo


def test_a_process_that_never_comes_is_not_waited_for_without_end(monkeypatch):
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        port = free.getsockname()[1]
    given = dict(RANK=0, LOCAL_RANK=0, WORLD_SIZE=2, MASTER_ADDR='127.0.0.1', MASTER_PORT=port)
    for name, value in {**given, 'MAL_CONNECT_SECONDS': 2}.items():
        monkeypatch.setenv(name, str(value))
    monkeypatch.setattr('torch.cuda.device_count', lambda: 1)  # mmengine divides by it
    begin = time.monotonic()
    with pytest.raises(RanksError, match='rank 0 could not connect to all 2 processes within 2 s'):
        connect_gloo('pytorch')
    assert time.monotonic() - begin < 30
