"""Mixed precision asked for where there is no accelerator."""

from __future__ import annotations

from mmengine.config import Config
from mmengine.device import get_device
from mmengine.logging import print_log

AMP_ONLY_KEYS = ('loss_scale', 'dtype', 'use_fsdp')


def fall_back_to_fp32(cfg: Config) -> None:
    """Train in fp32 where `AmpOptimWrapper` would refuse to be built, and say so.

    Args:
        cfg: the whole config; `optim_wrapper` is changed in place.
    """
    optim_wrapper = cfg.get('optim_wrapper')
    if not optim_wrapper or optim_wrapper.get('type') != 'AmpOptimWrapper':
        return
    if get_device() not in ('cpu', 'mps'):
        return
    optim_wrapper.type = 'OptimWrapper'
    for key in AMP_ONLY_KEYS:
        optim_wrapper.pop(key, None)
    print_log(f'mixed precision needs an accelerator; training in fp32 on {get_device()}')
