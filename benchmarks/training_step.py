"""A whole training step of a labeler's config, on procedural crops, and its parts.

Preprocessor, student, teacher, both losses, backward, AdamW and the teacher's update, built from
the config as tools/train.py builds them; weights are random, which the cost does not depend on.
"""

from __future__ import annotations

from typing import Any

import common  # first: it sets the threads, which libraries read when they are loaded
import numpy as np
import torch
from mmdet.registry import HOOKS, MODELS
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope
from mmengine.structures import InstanceData

from mal_mm.compat.config_bases import config_path

# what stands in for an encoder where only the code is to be tried
TINY_ARCH = dict(embed_dims=16, num_layers=1, num_heads=2, feedforward_channels=32)


def quiet() -> None:
    """MMDetection's scope, and no log of mmengine's, which names every parameter."""
    init_default_scope('mmdet')
    if not MMLogger.check_instance_created('benchmark'):
        MMLogger.get_instance('benchmark', log_level='ERROR')


def labeler_config(name: str, tiny: bool = False) -> Config:
    """A config of configs/mal without pretrained weights, perhaps with a tiny network.

    Args:
        name: such as 'mal/vit_mae_base.py'.
        tiny: one block of 16 channels in place of the encoder's.
    """
    cfg = Config.fromfile(config_path(name))
    network = cfg.model.get('network') or cfg.model
    encoder = network.encoder.get('encoder') or network.encoder
    encoder.init_cfg = None
    if tiny:
        encoder.arch = dict(TINY_ARCH)
        if 'out_indices' in encoder:
            encoder.out_indices = (0,)
        if 'decoder' in network:
            network.decoder.channels = 8
    return cfg


def make_crops(batch: int, size: int, seed: int) -> dict[str, list]:
    """Crops as a data loader gives them: pictures, a box in the middle, sizes as in COCO."""
    rng = np.random.default_rng(seed)
    inputs, samples = [], []
    boxes = common.make_boxes(rng, batch, min_area=2048)
    for w, h in boxes[:, 2:]:
        picture = common.make_picture(rng, size, size).transpose(2, 0, 1)
        inputs.append(torch.from_numpy(np.ascontiguousarray(picture)))
        low, high = rng.integers(size // 16, size // 4, (2, 2))
        sample = DetDataSample(metainfo=dict(box_area=float(w * h)))
        sample.gt_instances = InstanceData(
            bboxes=torch.tensor([[*low.tolist(), *(size - high).tolist()]], dtype=torch.float32),
            labels=torch.zeros(1, dtype=torch.long),
        )
        samples.append(sample)
    return dict(inputs=inputs, data_samples=samples)


class TrainingStep:
    """One labeler and what a training step of it takes.

    Args:
        cfg: of the labeler, see `labeler_config`.
        device: 'cpu', 'cuda', ...
        batch: crops.
        size: side of a crop in pixels.
        precision: 'fp32', 'bf16' or 'fp16'; the last two as the config's optimiser wrapper does
            them (on a CPU a config without mixed precision there trains in fp32).
        seed: of weights and pictures.
    """

    def __init__(
        self, cfg: Config, device: str, batch: int, size: int, precision: str, seed: int = 0
    ) -> None:
        quiet()
        torch.manual_seed(seed)
        self.on_gpu = torch.device(device).type == 'cuda'
        self.model = MODELS.build(cfg.model)
        self.model.init_weights()
        self.model.to(device).train()
        options = cfg.optim_wrapper.copy()
        if precision == 'fp32':
            options.type = 'OptimWrapper'
            options.pop('dtype', None)
        else:
            options.dtype = {'bf16': 'bfloat16', 'fp16': 'float16'}[precision]
        self.optim_wrapper = build_optim_wrapper(self.model, options)
        (teacher,) = (hook for hook in cfg.custom_hooks if hook.type == 'EMATeacherHook')
        self.teacher_hook = HOOKS.build(teacher)
        self.batch = make_crops(batch, size, seed)

    def __call__(self) -> dict[str, Any]:
        """The step; on a GPU it is only begun when this returns."""
        logged = self.model.train_step(self.batch, self.optim_wrapper)
        self.teacher_hook.momentum_update(self.model, self.teacher_hook.momentum)
        return logged

    def finish(self) -> None:
        """Wait for the GPU."""
        if self.on_gpu:
            torch.cuda.synchronize()

    def parts(self) -> tuple[tuple[Any, str, str], ...]:
        """(owner, name of its function, name of the part), for `Stages.watch`."""
        model, wrapper = self.model, self.optim_wrapper
        return (
            (model.data_preprocessor, 'forward', 'preprocessor'),
            (model, '_encode_student', 'student encoder'),
            (model.student, 'decode_layers', 'student decoder'),
            (model, '_teacher_probs', 'teacher'),
            (model.crf_loss, 'refine', 'mean field'),
            (wrapper, 'backward', 'backward'),
            (wrapper, 'step', 'AdamW'),
            (self.teacher_hook, 'momentum_update', 'EMA'),
        )
