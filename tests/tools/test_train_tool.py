import argparse
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import mmdet
import numpy as np
import pytest
import torch
from PIL import Image

from mal_mm.launcher import load_config

TINY = """
_base_ = ['{base}']
custom_imports = dict(imports=['mal_mm'], allow_failed_imports=False)
train_pipeline = [
    dict(type='LoadImageFromFile', imdecode_backend='pillow'),
    dict(type='RoICrop', crop_size=64, expansion='fixed', padding='wrap'),
    dict(type='PackRoIInputs'),
]
model = dict(
    data_preprocessor=dict(jitter=None, grey_prob=0, blur_prob=0),
    network=dict(
        encoder=dict(
            arch=dict(
                _delete_=True,
                embed_dims=16, num_layers=1, num_heads=2, feedforward_channels=32),
            img_size=64,
            init_cfg=None),
        decoder=dict(channels=8)),
    crf_loss=dict(mean_field=dict(num_iters=5)),
    mil_ramp_iters=0,
    crf_ramp_iters=0)
train_dataloader = dict(
    batch_size=2,
    num_workers=0,
    persistent_workers=False,
    sampler=dict(shuffle=False),
    dataset=dict(
        min_area=0,
        pipeline=train_pipeline,
        dataset=dict(data_root='{data}', ann_file='train.json', data_prefix=dict(img=''))))
train_cfg = dict(max_epochs=2)
# plain SGD: with Adam a gradient of twice the size would go unnoticed
optim_wrapper = dict(
    _delete_=True, type='OptimWrapper', optimizer=dict(type='SGD', lr=0.5, momentum=0.9))
param_scheduler = None
randomness = dict(seed=0)
default_hooks = dict(logger=dict(interval=1))
"""


@pytest.fixture(scope='module')
def data_dir(tmp_path_factory) -> Path:
    """Four images with two boxes each: two iterations of four boxes."""
    folder = tmp_path_factory.mktemp('data')
    random = np.random.default_rng(0)
    boxes = [[4, 6, 24, 20], [30, 28, 28, 30]]
    images, annotations = [], []
    for number in range(1, 5):
        pixels = random.integers(0, 256, (64, 64, 3), dtype=np.uint8)
        for x, y, w, h in boxes:
            pixels[y : y + h, x : x + w] //= number + 1
        Image.fromarray(pixels).save(folder / f'{number}.png')
        images.append(dict(id=number, file_name=f'{number}.png', width=64, height=64))
        for box in boxes:
            annotations.append(
                dict(
                    id=len(annotations) + 1,
                    image_id=number,
                    category_id=1,
                    bbox=box,
                    area=box[2] * box[3],
                    iscrowd=0,
                )
            )
    content = dict(images=images, annotations=annotations, categories=[dict(id=1, name='thing')])
    folder.joinpath('train.json').write_text(json.dumps(content))
    return folder


@pytest.fixture
def tiny_config(repo_root, data_dir, tmp_path) -> Path:
    """configs/mal copied into an otherwise empty folder, with a tiny model beside it."""
    shutil.copytree(repo_root / 'configs' / 'mal', tmp_path / 'mal')
    config = tmp_path / 'tiny.py'
    config.write_text(TINY.format(base='mal/vit_mae_base.py', data=f'{data_dir}/'))
    return config


def run(*command: object, cwd: Path) -> None:
    environment = {
        **os.environ,
        'CUDA_VISIBLE_DEVICES': '',
        'OMP_NUM_THREADS': '1',
        'PYTHON': sys.executable,
    }
    done = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, cwd=cwd, env=environment
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]


def logged_losses(work_dir: Path) -> np.ndarray:
    """(iterations, 2) MIL and CRF loss as the Runner logged them."""
    (log,) = work_dir.glob('*/vis_data/scalars.json')
    rows = [json.loads(line) for line in log.read_text().splitlines()]
    return np.array([[row['loss_mil'], row['loss_crf']] for row in rows])


def test_two_cpu_ranks_train_like_one_rank_with_twice_the_batch(repo_root, tiny_config):
    folder = tiny_config.parent
    run('bash', repo_root / 'tools/dist_train.sh', tiny_config, 2, '--work-dir', 'two', cwd=folder)
    one = (repo_root / 'tools/train.py', tiny_config, '--work-dir', 'one')
    run(sys.executable, *one, '--cfg-options', 'train_dataloader.batch_size=4', cwd=folder)
    two_ranks, one_rank = logged_losses(folder / 'two'), logged_losses(folder / 'one')
    assert one_rank.shape == (4, 2)
    assert np.ptp(one_rank[:, 0]) > 1e-2  # the weights move, so the gradients are compared too
    np.testing.assert_allclose(two_ranks, one_rank, rtol=0, atol=1e-4)

    states = [
        torch.load(folder / name / 'epoch_2.pth', weights_only=True)['state_dict']
        for name in ('one', 'two')
    ]
    assert states[0].keys() == states[1].keys()
    for name, tensor in states[0].items():
        torch.testing.assert_close(states[1][name], tensor, rtol=0, atol=1e-4)


@pytest.mark.slow
def test_training_resumes_from_its_own_checkpoint(repo_root, tiny_config):
    folder = tiny_config.parent
    command = (sys.executable, repo_root / 'tools/train.py', tiny_config, '--work-dir', 'resumed')
    run(*command, '--cfg-options', 'train_cfg.max_epochs=1', cwd=folder)
    run(*command, '--resume', cwd=folder)
    checkpoint = torch.load(folder / 'resumed' / 'epoch_2.pth', weights_only=True)
    assert checkpoint['meta']['iter'] == 8  # eight boxes, batches of two, two epochs


@pytest.mark.slow
def test_mmdets_own_train_tool_runs_configs_copied_into_an_empty_folder(tiny_config):
    tool = Path(mmdet.__file__).parent / '.mim' / 'tools' / 'train.py'
    folder = tiny_config.parent
    run(sys.executable, tool, tiny_config, '--work-dir', 'out', cwd=folder)
    assert np.isfinite(logged_losses(folder / 'out')).all()


@pytest.mark.slow
def test_a_config_inherited_through_mal_mm_trains(repo_root, data_dir, tmp_path):
    config = tmp_path / 'tiny.py'
    config.write_text(TINY.format(base='mal_mm::mal/vit_mae_base.py', data=f'{data_dir}/'))
    tool = repo_root / 'tools' / 'train.py'
    run(sys.executable, tool, config, '--work-dir', 'out', '--amp', cwd=tmp_path)
    assert np.isfinite(logged_losses(tmp_path / 'out')).all()


@pytest.mark.parametrize(
    ('name', 'sentence'),
    [
        ('missing.py', r"config 'missing\.py' does not exist \(from /"),
        ('mal_mm::mal/missing.py', r"mal_mm has no config 'mal/missing\.py'; it has: mal/"),
    ],
)
def test_a_missing_config_is_named(name, sentence):
    args = argparse.Namespace(config=name, local_rank=0)
    with pytest.raises(FileNotFoundError, match=sentence):
        load_config(args)


def test_a_missing_config_ends_the_tool_in_one_sentence(repo_root, tmp_path):
    done = subprocess.run(
        [sys.executable, str(repo_root / 'tools' / 'train.py'), 'missing.py'],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("train.py: config 'missing.py' does not exist")
    assert 'Traceback' not in done.stderr


@pytest.mark.parametrize(
    'script', ['dist_train.sh', 'dist_test.sh', 'slurm_train.sh', 'slurm_test.sh']
)
def test_launchers_without_arguments_print_their_usage(repo_root, script):
    done = subprocess.run(
        ['bash', str(repo_root / 'tools' / script)], capture_output=True, text=True
    )
    assert done.returncode == 2
    assert f'Usage: bash tools/{script}' in done.stderr
