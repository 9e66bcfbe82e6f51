"""What is read from a checkpoint file, and what is said about other files."""

from __future__ import annotations

import argparse
import json
import os
import pickle
import zipfile
from pathlib import Path

import pytest
import torch
from torch import nn

from mal_mm.checkpoints.loading import (
    CheckpointError,
    check_state_dict,
    load_checkpoint,
    read_state_dict,
)


class Hostile:
    """Unpickling it would make a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.fixture
def model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))


def refusal(path: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        read_state_dict(path)
    message = str(caught.value)
    assert str(path) in message
    assert 'weights_only' not in message  # torch's own advice is to switch the protection off
    return message


@pytest.mark.parametrize('nested', [True, False])
@pytest.mark.parametrize('zipped', [True, False])
def test_tensors_are_read_from_state_dict_or_the_top(model, tmp_path, nested, zipped):
    state = model.state_dict()
    content = {'state_dict': state, 'epoch': 3} if nested else state
    path = tmp_path / 'weights.pth'
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    found = read_state_dict(path)
    assert list(found) == list(state)
    assert all(torch.equal(found[key], state[key]) for key in state)


def test_command_line_that_lightning_keeps_beside_the_weights_is_no_obstacle(model, tmp_path):
    arguments = argparse.Namespace(lr=1.5e-6, arch='vit-mae-base/16')
    content = {'state_dict': model.state_dict(), 'hyper_parameters': {'args': arguments}}
    torch.save(content, tmp_path / 'lightning.ckpt')
    assert len(read_state_dict(tmp_path / 'lightning.ckpt')) == len(model.state_dict())


def test_object_in_a_checkpoint_is_named_and_not_made(model, tmp_path):
    content = {'state_dict': model.state_dict(), 'extra': Hostile(tmp_path / 'made')}
    torch.save(content, tmp_path / 'hostile.pth')
    message = refusal(tmp_path / 'hostile.pth')
    assert 'holds the Python object posix.mkdir; loading that could run any code' in message
    assert not (tmp_path / 'made').exists()


def test_whole_pickled_model_is_refused(model, tmp_path):
    torch.save(model, tmp_path / 'model.pth')
    assert 'Python object torch.nn.modules.container.Sequential' in refusal(tmp_path / 'model.pth')


def test_plain_pickle_is_refused(tmp_path):
    (tmp_path / 'plain.pkl').write_bytes(pickle.dumps(Hostile(tmp_path / 'made')))
    assert 'loading that could run any code' in refusal(tmp_path / 'plain.pkl')
    assert not (tmp_path / 'made').exists()


def test_zip_of_other_things_is_named_as_such(tmp_path):
    with zipfile.ZipFile(tmp_path / 'photos.zip', 'w') as archive:
        archive.writestr('a.txt', 'hello')
    assert 'is a zip archive of other things (a.txt)' in refusal(tmp_path / 'photos.zip')


@pytest.mark.parametrize(
    'text',
    ['version https://git-lfs.github.com/spec/v1\noid sha256:0', '<!DOCTYPE html>', '{"a": 1}'],
)
def test_text_is_named_as_such_with_its_beginning(tmp_path, text):
    (tmp_path / 'weights.pth').write_text(text)
    message = refusal(tmp_path / 'weights.pth')
    assert 'is a text file' in message
    assert text.splitlines()[0] in message


def test_truncated_file_is_named_as_such(model, tmp_path):
    torch.save(model.state_dict(), tmp_path / 'whole.pth')
    content = (tmp_path / 'whole.pth').read_bytes()
    (tmp_path / 'half.pth').write_bytes(content[: len(content) // 2])
    assert 'is truncated; copy or download it again' in refusal(tmp_path / 'half.pth')


def test_empty_file_missing_file_and_noise_are_told_apart(tmp_path):
    (tmp_path / 'empty.pth').touch()
    (tmp_path / 'noise.pth').write_bytes(bytes(range(256)))
    assert 'is an empty file' in refusal(tmp_path / 'empty.pth')
    assert 'no such checkpoint file' in refusal(tmp_path / 'missing.pth')
    assert 'damaged or no torch file' in refusal(tmp_path / 'noise.pth')


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        ([1, 2], 'holds a list, no state dict'),
        ({'epoch': 3, 'meta': {}}, "holds no tensors; found keys ['epoch', 'meta']"),
        ({'state_dict': 7}, 'holds no tensors'),
    ],
    ids=['list', 'no tensors', 'number'],
)
def test_torch_file_without_weights_is_refused(tmp_path, content, message):
    torch.save(content, tmp_path / 'other.pth')
    assert message in refusal(tmp_path / 'other.pth')


def test_load_checkpoint_puts_every_tensor_in_place(model, tmp_path):
    torch.save({'state_dict': model.state_dict()}, tmp_path / 'weights.pth')
    other = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    load_checkpoint(other, tmp_path / 'weights.pth')
    for key, tensor in model.state_dict().items():
        assert torch.equal(other.state_dict()[key], tensor)


def test_checkpoint_of_another_architecture_is_refused_and_leaves_the_model_alone(model, tmp_path):
    other = nn.Sequential(nn.Linear(2, 4), nn.BatchNorm1d(3, affine=False), nn.Linear(1, 1))
    torch.save({'state_dict': other.state_dict()}, tmp_path / 'other.pth')
    before = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(model, tmp_path / 'other.pth')
    message = str(caught.value)
    assert f'{tmp_path / "other.pth"}: is a checkpoint of another architecture' in message
    assert '2 missing (1.weight, 1.bias)' in message
    assert '2 left over (2.weight, 2.bias)' in message
    assert '2 of another shape (0.weight (4, 2) instead of (3, 2), 0.bias' in message
    assert message.endswith('give the config that it was trained with')
    assert all(torch.equal(model.state_dict()[key], tensor) for key, tensor in before.items())


def test_check_state_dict_passes_what_fits(model):
    check_state_dict(model, model.state_dict(), 'here', 'nothing to fix')


def test_long_lists_of_tensors_are_cut(model):
    with pytest.raises(CheckpointError, match=r'7 missing \(0.weight, 0.bias, 1.weight, \.\.\.\)'):
        check_state_dict(model, {}, 'here', 'fix')


def test_refusals_are_one_line(tmp_path):
    (tmp_path / 'weights.json').write_text(json.dumps({'a': [1] * 1000}, indent=1))
    assert len(refusal(tmp_path / 'weights.json').splitlines()) == 1
