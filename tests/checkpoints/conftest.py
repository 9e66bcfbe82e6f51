"""What the tests of checkpoints share."""

from __future__ import annotations

import functools
import http.server
import threading

import pytest
import torch


class Handler(http.server.SimpleHTTPRequestHandler):
    """Serves a folder and remembers what was asked for."""

    def log_message(self, *args: object) -> None:
        self.server.requests.append(self.path)


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A web server for tmp_path / web, and an empty torch hub."""
    monkeypatch.setenv('no_proxy', '127.0.0.1')
    monkeypatch.setenv('TORCH_HOME', str(tmp_path / 'torch'))
    (tmp_path / 'web').mkdir()
    torch.save({'model': {'norm.weight': torch.arange(3.0)}}, tmp_path / 'web' / 'vit.pth')
    handler = functools.partial(Handler, directory=str(tmp_path / 'web'))
    with http.server.ThreadingHTTPServer(('127.0.0.1', 0), handler) as server:
        server.requests = []
        server.address = f'http://127.0.0.1:{server.server_address[1]}'
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server
        server.shutdown()
