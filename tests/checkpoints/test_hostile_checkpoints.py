"""Files that would run code when they are unpickled, and damaged ones, through every loader."""

from __future__ import annotations

import io
import os
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from mmdet.registry import MODELS
from mmengine.logging import HistoryBuffer
from mmengine.runner import checkpoint as mmengine_checkpoint
from mmengine.runner import load_checkpoint
from sharp_labeler import write_sharp_labeler
from torch import nn

from mal_mm.apis import MaskLabeler
from mal_mm.checkpoints import loading
from mal_mm.checkpoints.detectron2_file import read_detectron2
from mal_mm.checkpoints.encoder_keys import vit_to_mmpretrain
from mal_mm.checkpoints.loading import CheckpointError, load_file, read_state_dict
from mal_mm.checkpoints.pretrained import load_pretrained


class Hostile:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)

    def __reduce__(self):
        return exec, (f'open({self.path!r}, "w").close()',)


class Indirect(Hostile):
    """The same by way of names that a careless list of safe ones may hold."""

    def __reduce__(self):
        return getattr, (HistoryBuffer, '__init__')


def files(folder: Path, pwned: Path) -> dict[str, Path]:
    """Every kind of file that torch.load would unpickle."""
    weights = {'state_dict': {'weight': torch.zeros(1)}}
    made = {}
    for name, content in {
        'beside': {**weights, 'meta': Hostile(pwned)},
        'inside': {'state_dict': {'weight': Hostile(pwned)}},
        'alone': Hostile(pwned),
        'indirect': {**weights, 'message_hub': Indirect(pwned)},
        'module': {'state_dict': nn.Linear(1, 1)},
    }.items():
        made[name] = folder / f'{name}.pth'
        torch.save(content, made[name])
        made[f'{name} legacy'] = folder / f'{name}_legacy.pth'
        torch.save(content, made[f'{name} legacy'], _use_new_zipfile_serialization=False)
    made['pickle'] = folder / 'pickle.pth'
    made['pickle'].write_bytes(pickle.dumps({**weights, 'meta': Hostile(pwned)}))
    return made


@pytest.fixture(scope='module')
def hostile(tmp_path_factory):
    folder = tmp_path_factory.mktemp('hostile')
    return files(folder, folder / 'PWNED'), folder / 'PWNED'


def by_pretrained(path: Path) -> None:
    load_pretrained(nn.Linear(1, 1), path, vit_to_mmpretrain)


LOADERS = {
    'read_state_dict': read_state_dict,
    'read_detectron2': read_detectron2,
    'pretrained': by_pretrained,
    'mmengine load_checkpoint': lambda path: load_checkpoint(nn.Linear(1, 1), str(path)),
    'mmengine CheckpointLoader': lambda path: mmengine_checkpoint.CheckpointLoader.load_checkpoint(
        str(path), map_location='cpu'
    ),
    'mmengine load, unprotected': lambda path: mmengine_checkpoint.torch.load(
        str(path), weights_only=False
    ),
    'an open file': lambda path: load_file(io.BytesIO(path.read_bytes())),
}


@pytest.mark.parametrize('old_torch', [False, True])
@pytest.mark.parametrize('loader', LOADERS)
def test_no_loader_runs_what_a_checkpoint_holds(hostile, loader, old_torch, monkeypatch):
    monkeypatch.setattr(loading, '_is_old_torch', lambda: old_torch)
    made, pwned = hostile
    for name, path in made.items():
        with pytest.raises(CheckpointError) as caught:
            LOADERS[loader](path)
        assert not pwned.exists(), name
        if loader not in ('an open file', 'read_detectron2'):
            said = str(caught.value)
            assert said.startswith(f'{path}: holds '), name
            assert f'MAL_TRUST_CHECKPOINT={path}' in said


def test_an_address_is_no_way_round(hostile, tmp_path, monkeypatch):
    made, pwned = hostile
    monkeypatch.setenv('TORCH_HOME', str(tmp_path))
    folder = tmp_path / 'hub' / 'checkpoints'
    folder.mkdir(parents=True)
    for name, path in made.items():
        (folder / path.name).write_bytes(path.read_bytes())
        with pytest.raises(CheckpointError):
            load_checkpoint(nn.Linear(1, 1), f'https://example.org/{path.name}')
        assert not pwned.exists(), name


def test_a_person_who_trusts_a_file_can_say_so(hostile, tmp_path, monkeypatch):
    pwned = tmp_path / 'PWNED'
    made = files(tmp_path, pwned)
    monkeypatch.setenv('MAL_TRUST_CHECKPOINT', os.pathsep.join(['x', str(made['beside'])]))
    assert load_file(made['beside'])['state_dict']['weight'].tolist() == [0]
    assert pwned.exists()
    pwned.unlink()
    with pytest.raises(CheckpointError):
        load_file(made['inside'])
    assert not pwned.exists()


@pytest.mark.parametrize('new_format', [True, False])
@pytest.mark.parametrize('old_torch', [False, True])
def test_a_runners_checkpoint_still_loads(tmp_path, old_torch, new_format, monkeypatch):
    monkeypatch.setattr(loading, '_is_old_torch', lambda: old_torch)
    state = {
        'state_dict': nn.Linear(1, 1).state_dict(),
        'message_hub': {'log_scalars': {'loss': HistoryBuffer(np.ones(2), np.ones(2))}},
        'meta': {'seed': np.int64(3), 'time': 'now'},
    }
    torch.save(state, tmp_path / 'a.pth', _use_new_zipfile_serialization=new_format)
    model = nn.Linear(1, 1)
    read = load_checkpoint(model, str(tmp_path / 'a.pth'))
    assert read['message_hub']['log_scalars']['loss'].mean() == 1
    assert torch.equal(model.weight, state['state_dict']['weight'])


@pytest.mark.parametrize('loader', ['mmengine load_checkpoint', 'read_state_dict'])
def test_a_flipped_bit_is_noticed_wherever_it_is(tmp_path, loader):
    path = tmp_path / 'a.pth'
    torch.save({'state_dict': {'weight': torch.arange(4000.0)}}, path)
    whole = path.read_bytes()
    LOADERS['read_state_dict'](path)
    with zipfile.ZipFile(path) as archive:
        parts = [each for each in archive.infolist() if each.file_size > 100]
    for place in np.random.default_rng(0).integers(0, 16000, 12).tolist():
        data = max(parts, key=lambda each: each.file_size)
        at = whole.index(np.arange(4000, dtype=np.float32).tobytes()) + place
        assert data.file_size == 16000
        flipped = bytearray(whole)
        flipped[at] ^= 1 << place % 8
        path.write_bytes(flipped)
        with pytest.raises(CheckpointError, match=r'is damaged .*checksum.*download it again'):
            LOADERS[loader](path)


@pytest.fixture
def labeler(tmp_path):
    return write_sharp_labeler(tmp_path)


def test_a_hostile_labeler_is_refused(hostile, labeler):
    made, pwned = hostile
    for path in made.values():
        with pytest.raises(CheckpointError):
            MaskLabeler(labeler[0], path)
        assert not pwned.exists()


def test_a_hostile_init_cfg_is_refused(hostile):
    made, pwned = hostile
    cfg = dict(
        type='mmdet.ResNet',
        depth=18,
        init_cfg=dict(type='Pretrained', checkpoint=str(made['beside'])),
    )
    with pytest.raises(CheckpointError):
        MODELS.build(cfg).init_weights()
    assert not pwned.exists()
