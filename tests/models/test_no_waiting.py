"""A training step asks for no value of a tensor on the device: the GPU is never waited for.

The step runs on the device 'meta', whose tensors have no values, so that `.item()`, `if tensor`,
a boolean index or `.cpu()` raise. What goes to the device has to go without waiting as well.
"""

from __future__ import annotations

import contextlib
import traceback

import numpy as np
import pytest
import torch
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmdet.structures.mask import BitmapMasks
from mmengine.optim import build_optim_wrapper
from mmengine.structures import InstanceData
from tiny_labeler import CROP_SIZE, TINY_DECODERS, model_config
from torch.utils._python_dispatch import TorchDispatchMode

from mal_mm.hooks import EMATeacherHook

# kornia copies the way CUDA does not wait for, which on another device is a plain copy
DOES_NOT_WAIT = '_to_device_nonblocking'


class WaitingCopies(TorchDispatchMode):
    """Notes where a copy from the CPU to the device was made that the host would wait for."""

    def __init__(self) -> None:
        super().__init__()
        self.places: list[str] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        options = kwargs or {}
        name = func.overloadpacket._qualified_op_name
        waits = False
        if name == 'aten::_to_copy':
            to = torch.device(options.get('device') or 'cpu').type
            waits = (args[0].device.type, to) == ('cpu', 'meta')
        elif name == 'aten::copy_':
            waits = (args[1].device.type, args[0].device.type) == ('cpu', 'meta')
            options = {'non_blocking': args[2] if len(args) > 2 else options.get('non_blocking')}
        if waits and not options.get('non_blocking'):
            frames = traceback.extract_stack()[:-1]
            if all(frame.name != DOES_NOT_WAIT for frame in frames):
                self.places.append(''.join(traceback.format_list(frames[-8:])))
        return func(*args, **(kwargs or {}))


def batch(N: int = 4, S: int = CROP_SIZE) -> dict:
    """What a data loader gives: one box of each size bin, a crop of background, start masks."""
    samples = []
    for n in range(N):
        sample = DetDataSample(metainfo={'box_area': 500.0 * 4**n, 'is_background': n == 3})
        sample.gt_instances = InstanceData(
            bboxes=torch.tensor([[4.0, 6, 20, 22]]),
            labels=torch.tensor([n % 2]),
            masks=BitmapMasks(np.ones((1, S, S), np.uint8), S, S),
        )
        samples.append(sample)
    return {'inputs': list(torch.zeros(N, 3, S, S, dtype=torch.uint8)), 'data_samples': samples}


RELEASED = {'data_preprocessor': {'jitter_prob': 1}, 'crf_view': 'student', 'shrink': 'bilinear'}
SMALL_SETS = {'start_loss': {'loss_weight': 2.0}, 'shrink': 'area', 'crf_view': 'clean'}


@pytest.mark.parametrize(
    ('decoder', 'changes'),
    [
        ('AttentionDecoder', RELEASED),
        ('AttentionDecoder', SMALL_SETS),
        ('AttentionDecoder', {'cls_loss': {'num_classes': 2}}),
        ('QueryDecoder', {}),
    ],
)
def test_a_training_step_asks_for_no_value_on_the_device(monkeypatch, decoder, changes):
    config = model_config(**changes)
    config['network']['decoder'] = {'type': decoder, **TINY_DECODERS[decoder]}
    model = MODELS.build(config).to('meta').train()
    optimizer = {'type': 'AdamW', 'lr': 1e-3}
    wrapper = build_optim_wrapper(model, {'type': 'OptimWrapper', 'optimizer': optimizer})
    # 'meta' has no mixed precision; nothing here depends on it
    monkeypatch.setattr(torch, 'autocast', lambda *_, **__: contextlib.nullcontext())
    data = batch()
    with WaitingCopies() as copies:
        model.train_step(data, wrapper)
        EMATeacherHook().momentum_update(model, 0.004)
    assert copies.places == []


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a GPU')
@pytest.mark.parametrize('changes', [RELEASED, SMALL_SETS])
def test_pytorch_sees_no_wait_in_a_training_step_on_a_gpu(changes):
    model = MODELS.build(model_config(**changes)).cuda().train()
    optimizer = {'type': 'AdamW', 'lr': 1e-3}
    # a gradient scaler asks in each step whether there was an infinite gradient; bf16 needs none
    amp = {'type': 'AmpOptimWrapper', 'dtype': 'bfloat16', 'loss_scale': {'enabled': False}}
    wrapper = build_optim_wrapper(model, {**amp, 'optimizer': optimizer})
    model.train_step(batch(), wrapper)  # cuDNN and the allocator may wait once
    torch.cuda.set_sync_debug_mode('error')
    try:
        model.train_step(batch(), wrapper)
        EMATeacherHook().momentum_update(model, 0.004)
    finally:
        torch.cuda.set_sync_debug_mode('default')


def test_the_watch_sees_what_waits():
    with WaitingCopies() as copies:
        torch.ones(2).to('meta', non_blocking=True)
        assert copies.places == []
        torch.ones(2).to('meta')
        torch.empty(2, device='meta').copy_(torch.ones(2))
    assert len(copies.places) == 2
    masked = torch.ones(2, device='meta')
    for ask in (masked.sum().item, masked.cpu, lambda: masked[masked > 0], masked.any().__bool__):
        with pytest.raises((RuntimeError, NotImplementedError)):
            ask()
