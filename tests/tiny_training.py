"""Training a tiny labeler through the command line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import torch
import warm_processes
from PIL import Image

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


def write_boxes(folder: Path) -> None:
    """Four images with two boxes each, and train.json."""
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


def cpu_environment(**changes: str) -> dict[str, str]:
    """Environment of a training process: one thread, no GPU, this interpreter."""
    return {
        **os.environ,
        'CUDA_VISIBLE_DEVICES': '',
        'OMP_NUM_THREADS': '1',
        'PYTHON': sys.executable,
        **changes,
    }


def run(*command: object, cwd: Path, **environment: str) -> subprocess.CompletedProcess:
    """Run a command that has to succeed; one of Python in a warm process."""
    env = cpu_environment(**environment)
    words = [str(part) for part in command]
    if words[0] == sys.executable:
        done = warm_processes.run(words, cwd, env)
    else:
        done = subprocess.run(words, capture_output=True, text=True, cwd=cwd, env=env)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return done


def logged_losses(work_dir: Path) -> np.ndarray:
    """(iterations, 2) MIL and CRF loss as the Runner logged them."""
    (log,) = work_dir.glob('*/vis_data/scalars.json')
    rows = [json.loads(line) for line in log.read_text().splitlines()]
    return np.array([[row['loss_mil'], row['loss_crf']] for row in rows])


def state_dict(checkpoint: Path) -> dict[str, torch.Tensor]:
    """The weights in a Runner's checkpoint."""
    return torch.load(checkpoint, weights_only=True)['state_dict']
