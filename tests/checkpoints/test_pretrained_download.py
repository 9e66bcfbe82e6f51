"""Checkpoints given as an address, fetched from a web server on this machine."""

from __future__ import annotations

import os
import socket
import sys

import pytest
import torch
import warm_processes

from mal_mm.checkpoints.loading import CheckpointError
from mal_mm.checkpoints.local_file import local_file

RANK = """
import sys
import torch.distributed as dist
from mal_mm.checkpoints.local_file import local_file
dist.init_process_group('gloo')
print(local_file(sys.argv[1]).stat().st_size)
"""


def test_path_is_taken_as_it_is(tmp_path):
    assert local_file(tmp_path / 'vit.pth') == tmp_path / 'vit.pth'
    assert str(local_file('weights/vit.pth')) == os.path.join('weights', 'vit.pth')  # noqa: PTH118


def test_address_is_downloaded_once_into_torch_hubs_folder(server, tmp_path):
    for _ in range(2):
        path = local_file(f'{server.address}/vit.pth?download=1')
        assert path == tmp_path / 'torch' / 'hub' / 'checkpoints' / 'vit.pth'
        assert path.read_bytes() == (tmp_path / 'web' / 'vit.pth').read_bytes()
    assert len(server.requests) == 1
    assert [each.name for each in path.parent.iterdir()] == ['vit.pth']


def test_failed_download_says_where_to_put_the_file(server, tmp_path):
    with pytest.raises(CheckpointError, match=r'cannot be downloaded \(.*404.*put it into') as e:
        local_file(f'{server.address}/none.pth')
    assert str(tmp_path / 'torch' / 'hub' / 'checkpoints') in str(e.value)
    assert not (tmp_path / 'torch' / 'hub' / 'checkpoints' / 'none.pth').exists()


def test_server_that_is_not_there_is_no_traceback(monkeypatch, tmp_path):
    monkeypatch.setenv('TORCH_HOME', str(tmp_path))
    monkeypatch.setenv('no_proxy', '127.0.0.1')
    with socket.create_server(('127.0.0.1', 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(CheckpointError, match='cannot be downloaded'):
        local_file(f'http://127.0.0.1:{port}/vit.pth')


@pytest.mark.slow
def test_of_two_processes_on_a_machine_one_downloads(server, tmp_path):
    with socket.create_server(('127.0.0.1', 0)) as free:
        port = free.getsockname()[1]
    script = tmp_path / 'rank.py'
    script.write_text(RANK)
    ranks = []
    for rank in range(2):
        places = dict(RANK=rank, LOCAL_RANK=rank, WORLD_SIZE=2, MASTER_PORT=port)
        environment = {name: str(value) for name, value in places.items()}
        ranks.append(
            warm_processes.start(
                [sys.executable, script, f'{server.address}/vit.pth'],
                tmp_path,
                {**os.environ, **environment, 'MASTER_ADDR': '127.0.0.1'},
            )
        )
    size = (tmp_path / 'web' / 'vit.pth').stat().st_size
    for process in ranks:
        output, _ = process.communicate(timeout=240)
        assert process.returncode == 0
        assert output.split()[-1] == str(size)
    assert len(server.requests) == 1


def test_addresses_that_end_in_the_same_name_are_kept_apart(server, tmp_path):
    weights = {}
    for name in ('a', 'b', 'c'):
        (tmp_path / 'web' / name).mkdir()
        torch.save({'w': torch.tensor(ord(name))}, tmp_path / 'web' / name / 'm.pth')
    for _ in range(2):
        for name in ('a', 'b', 'c'):
            path = local_file(f'{server.address}/{name}/m.pth')
            weights[name] = torch.load(path, weights_only=True)['w'].item()
        assert weights == {name: ord(name) for name in 'abc'}
    assert len(server.requests) == 3


def test_a_file_that_a_person_has_put_there_is_taken(server, tmp_path):
    folder = tmp_path / 'torch' / 'hub' / 'checkpoints'
    folder.mkdir(parents=True)
    (folder / 'vit.pth').write_bytes(b'by hand')
    assert local_file(f'{server.address}/vit.pth').read_bytes() == b'by hand'
    assert not server.requests
