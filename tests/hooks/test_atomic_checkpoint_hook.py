"""AtomicCheckpointHook: what lies in the folder at every moment of a saving."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from mmengine.runner import Runner
from torch import nn
from torch.utils.data import DataLoader

import mal_mm.formats.atomic
from mal_mm.checkpoints.resume import checkpoint_to_resume
from mal_mm.hooks import AtomicCheckpointHook
from mal_mm.hooks.atomic_checkpoint_hook import WholeFileBackend


class Toy(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(1, 1)

    def train_step(self, data, optim_wrapper):
        loss = self.linear(torch.ones(1, 1)).sum()
        optim_wrapper.update_params(loss)
        return {'loss': loss.detach()}


def train(folder: Path, epochs: int, **checkpoint: object) -> Runner:
    runner = Runner(
        Toy(),
        str(folder),
        train_dataloader=DataLoader(range(2)),
        train_cfg=dict(by_epoch=True, max_epochs=epochs),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1)),
        default_hooks=dict(checkpoint=dict(type='AtomicCheckpointHook', **checkpoint)),
        experiment_name=f'{folder.parent.name}_{folder.name}_{epochs}',
        default_scope='mmdet',
        log_level='ERROR',
    )
    runner.train()
    return runner


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.glob('*.pth')}


@pytest.mark.parametrize('keep', [1, 2])
def test_it_keeps_as_many_as_told(tmp_path, keep):
    train(tmp_path, 4, interval=1, max_keep_ckpts=keep)
    assert names(tmp_path) == {f'epoch_{number}.pth' for number in range(5 - keep, 5)}
    assert Path((tmp_path / 'last_checkpoint').read_text()).name == 'epoch_4.pth'
    kept = torch.load(tmp_path / 'epoch_4.pth', weights_only=False)['message_hub']
    assert kept['runtime_info']['keep_ckpt_ids'] == list(range(5 - keep, 5))


def test_the_old_checkpoint_stays_until_the_new_one_is_complete(tmp_path, monkeypatch):
    seen = []
    save = mal_mm.formats.atomic.os.fsync

    def look(descriptor: int) -> None:
        seen.append((names(tmp_path), sorted(path.name for path in tmp_path.glob('.*.tmp'))))
        save(descriptor)

    monkeypatch.setattr(os, 'fsync', look)
    train(tmp_path, 2, interval=1, max_keep_ckpts=1)
    (first, _), (second, unfinished) = seen
    assert first == set()
    assert second == {'epoch_1.pth'}
    assert len(unfinished) == 1 and unfinished[0].startswith('.epoch_2.pth.')
    assert names(tmp_path) == {'epoch_2.pth'}


def test_a_write_that_fails_leaves_the_file_as_it_was(tmp_path):
    path = tmp_path / 'epoch_1.pth'
    path.write_bytes(b'whole')
    with pytest.raises(TypeError):
        WholeFileBackend().put(None, path)
    assert path.read_bytes() == b'whole'
    assert list(tmp_path.iterdir()) == [path]


def test_leavings_of_a_killed_run_go(tmp_path):
    (tmp_path / '.epoch_1.pth.0123456789ab.tmp').write_bytes(b'half')
    train(tmp_path, 1)
    assert not list(tmp_path.glob('.*.tmp'))


def test_own_storage_is_left_alone():
    assert AtomicCheckpointHook().backend_args is not None
    assert AtomicCheckpointHook(out_dir='s3://bucket/run').backend_args is None
    own = {'backend': 'local'}
    assert AtomicCheckpointHook(backend_args=own).backend_args == own


# -- what --resume reads --------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path) -> Path:
    """Two whole checkpoints, the second named as the last."""
    for number in (1, 2):
        path = tmp_path / f'epoch_{number}.pth'
        torch.save({'state_dict': {}}, path)
        os.utime(path, (number, number))
    (tmp_path / 'last_checkpoint').write_text(str(tmp_path / 'epoch_2.pth'))
    return tmp_path


def test_resume_takes_the_last(folder):
    assert checkpoint_to_resume(folder) == str(folder / 'epoch_2.pth')


def test_resume_finds_the_last_in_a_moved_folder(folder, tmp_path):
    (folder / 'last_checkpoint').write_text('/elsewhere/epoch_2.pth')
    assert checkpoint_to_resume(folder) == str(folder / 'epoch_2.pth')


def test_resume_takes_what_is_named(folder, tmp_path):
    assert checkpoint_to_resume(folder, str(folder / 'epoch_1.pth')) == str(folder / 'epoch_1.pth')
    assert checkpoint_to_resume(folder, 'https://host/a.pth') == 'https://host/a.pth'


def test_without_any_checkpoint_there_is_none_to_resume(tmp_path):
    assert checkpoint_to_resume(tmp_path) is None
    assert checkpoint_to_resume(tmp_path / 'not yet made') is None


def test_a_missing_last_checkpoint_is_named_with_the_newest_whole_one(folder):
    (folder / 'epoch_2.pth').unlink()
    with pytest.raises(
        ValueError, match=r'epoch_2\.pth.*does not exist; .*--resume .*epoch_1\.pth'
    ):
        checkpoint_to_resume(folder)


def test_an_emptied_last_checkpoint_is_said(folder):
    (folder / 'last_checkpoint').write_text('')
    with pytest.raises(ValueError, match=r'last_checkpoint.*--resume .*epoch_2\.pth'):
        checkpoint_to_resume(folder)


def test_without_a_whole_one_it_says_start_again(folder):
    for path in folder.glob('*.pth'):
        path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match=r'is cut short or no checkpoint; .*start again without'):
        checkpoint_to_resume(folder)
