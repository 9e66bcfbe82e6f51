"""A run that is killed and resumed, against one that was not."""

from __future__ import annotations

import json
import random
import sys
from pathlib import Path

import pytest
import torch
import warm_processes
from tiny_training import cpu_environment, run, state_dict

EPOCHS, ITERATIONS = 5, 4  # of an epoch
# all chance there is: order, crops, flips, student views, drop path, and a schedule by iterations
RANDOM = """
_base_ = ['tiny.py']
model = dict(
    data_preprocessor=dict(jitter=(0.4, 0.4, 0.2, 0.1), grey_prob=0.2, blur_prob=0.5),
    network=dict(encoder=dict(drop_path_rate=0.2, arch=dict(num_layers=2))),
    crf_ramp_iters=6)
train_pipeline = [
    dict(type='LoadImageFromFile', imdecode_backend='pillow'),
    dict(type='RoICrop', crop_size=64, expansion='released', theta=1.2, padding='wrap'),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackRoIInputs'),
]
train_dataloader = dict(
    sampler=dict(shuffle=True), dataset=dict(pipeline=train_pipeline))
optim_wrapper = dict(
    _delete_=True, type='OptimWrapper', optimizer=dict(type='AdamW', lr=1e-3))
param_scheduler = [
    dict(
        type='LinearLR',
        start_factor=0.1, by_epoch=True, begin=0, end=1, convert_to_iter_based=True),
    dict(type='ExponentialLR', gamma=0.8, by_epoch=True, begin=1, end=5),
]
randomness = dict(seed=None)
train_cfg = dict(max_epochs=5)
"""
SEED = 'randomness.seed=3'
EACH_EPOCH = ['default_hooks.checkpoint.max_keep_ckpts=1']
EACH_THREE = [
    'default_hooks.checkpoint.by_epoch=False',
    'default_hooks.checkpoint.interval=3',
    'train_dataloader.num_workers=1',
    'train_dataloader.persistent_workers=True',
]


@pytest.fixture
def config(tiny_config) -> Path:
    path = tiny_config.with_name('chance.py')
    path.write_text(RANDOM)
    return path


def losses(work_dir: Path) -> dict[int, tuple]:
    """{iteration: what was logged}, of all starts; a repeated iteration has to repeat its log."""
    found: dict[int, tuple] = {}
    for log in sorted(work_dir.glob('*/vis_data/scalars.json')):
        for line in log.read_text().splitlines():
            row = json.loads(line)
            values = tuple(row[key] for key in ('loss_mil', 'loss_crf', 'box_fill', 'lr'))
            assert found.setdefault(row['step'], values) == values, row
    return found


def train_until_killed(command: list, work_dir: Path, iteration: int, cwd: Path) -> int:
    """SIGKILL once `iteration` is logged and a checkpoint is there; returns the exit status."""
    process = warm_processes.start(command, cwd, cpu_environment())

    def is_there() -> bool:
        logs = list(work_dir.glob('*/vis_data/scalars.json'))
        lines = logs[0].read_bytes().count(b'\n') if logs else 0
        return lines >= iteration and (work_dir / 'last_checkpoint').exists()

    process.wait_until(is_there)
    process.kill()
    return process.wait()


def check_against_unbroken(config, repo_root, options: list[str], kill_at: int) -> None:
    folder = config.parent
    train = [sys.executable, repo_root / 'tools' / 'train.py', config]
    run(*train, '--work-dir', 'whole', '--cfg-options', SEED, cwd=folder)

    work_dir = folder / 'killed'
    killed = [*train, '--work-dir', 'killed', '--cfg-options', *options]
    status = train_until_killed([*killed, SEED], work_dir, kill_at, folder)
    assert status == -9, 'the run ended before it was killed'
    # without the seed: it has to come from the checkpoint
    run(*killed, '--resume', cwd=folder)

    whole, resumed = losses(folder / 'whole'), losses(work_dir)
    assert sorted(whole) == list(range(1, EPOCHS * ITERATIONS + 1))
    assert resumed == whole
    (last,) = (folder / 'whole').glob(f'epoch_{EPOCHS}.pth')
    latest = work_dir / Path((work_dir / 'last_checkpoint').read_text()).name
    a, b = state_dict(last), state_dict(latest)
    assert a.keys() == b.keys()
    assert all(torch.equal(a[key], b[key]) for key in a)


def test_a_killed_and_resumed_run_is_bitwise_the_unbroken_one(config, repo_root):
    kill_at = random.Random(1).randrange(ITERATIONS, 3 * ITERATIONS)
    check_against_unbroken(config, repo_root, EACH_EPOCH, kill_at)
    assert len(list((config.parent / 'killed').glob('*.pth'))) == 1


@pytest.mark.slow
def test_a_run_with_a_worker_resumed_inside_an_epoch_is_bitwise_the_unbroken_one_without(
    config, repo_root
):
    kill_at = random.Random(0).randrange(ITERATIONS, 3 * ITERATIONS)
    check_against_unbroken(config, repo_root, EACH_THREE, kill_at)


@pytest.mark.slow
@pytest.mark.long
def test_two_ranks_resumed_inside_an_epoch_are_bitwise_the_unbroken_ones(config, repo_root):
    folder = config.parent
    train = ['bash', repo_root / 'tools' / 'dist_train.sh', config, 2]
    options = [
        '--cfg-options',
        'default_hooks.checkpoint.by_epoch=False',
        'default_hooks.checkpoint.max_keep_ckpts=-1',
        'train_cfg.max_epochs=3',
    ]
    run(*train, '--work-dir', 'whole', *options, cwd=folder)
    # two iterations an epoch: one of the second is done
    run(*train, '--work-dir', 'again', '--resume', 'whole/iter_3.pth', *options, cwd=folder)
    a, b = (state_dict(folder / name / 'iter_6.pth') for name in ('whole', 'again'))
    assert all(torch.equal(a[key], b[key]) for key in a)
    whole, again = losses(folder / 'whole'), losses(folder / 'again')
    assert sorted(again) == [4, 5, 6]
    assert all(whole[step] == again[step] for step in again)


@pytest.mark.slow
def test_a_first_start_may_say_resume_and_keeps_load_from(repo_root, tiny_config):
    folder = tiny_config.parent
    train = [sys.executable, repo_root / 'tools' / 'train.py', tiny_config, '--cfg-options']
    short = 'train_cfg.max_epochs=1'
    run(*train, short, '--work-dir', 'first', cwd=folder)
    again = [f'load_from={folder}/first/epoch_1.pth', short, 'optim_wrapper.optimizer.lr=0']
    run(*train, *again, '--work-dir', 'second', '--resume', cwd=folder)
    a, b = state_dict(folder / 'first/epoch_1.pth'), state_dict(folder / 'second/epoch_1.pth')
    assert all(torch.equal(a[key], b[key]) for key in a if key.startswith('student'))


def test_a_torn_checkpoint_ends_the_tool_in_one_sentence(repo_root, tiny_config):
    folder = tiny_config.parent
    torch.save({'state_dict': {}}, folder / 'epoch_1.pth')
    torn = (folder / 'epoch_1.pth').read_bytes()[:-100]
    (folder / 'epoch_2.pth').write_bytes(torn)
    (folder / 'last_checkpoint').write_text(str(folder / 'epoch_2.pth'))
    command = [repo_root / 'tools' / 'train.py', tiny_config, '--work-dir', folder, '--resume']
    done = warm_processes.run([sys.executable, *command], folder, cpu_environment())
    assert done.returncode == 1
    assert 'Traceback' not in done.stderr
    assert done.stderr.splitlines()[-1] == (
        f"train: checkpoint '{folder}/epoch_2.pth', named by {folder}/last_checkpoint, is cut "
        'short or no checkpoint; resume from the newest whole one with --resume '
        f'{folder}/epoch_1.pth'
    )
