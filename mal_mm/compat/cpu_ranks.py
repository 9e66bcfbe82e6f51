"""Distributed training and testing without a GPU."""

from __future__ import annotations

import atexit
from contextlib import nullcontext
from typing import Any
from unittest import mock

import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.dist import init_dist, is_distributed


def prepare_cpu_ranks(cfg: Config) -> None:
    """Connect the ranks over gloo and have the model wrapped for the CPU; call before the Runner.

    mmengine's `init_dist` always selects a CUDA device, and its Runner always hands one to
    DistributedDataParallel. Does nothing for a single process or where there is an accelerator.

    Args:
        cfg: the whole config with `launcher` set; `env_cfg.dist_cfg.backend` and
            `model_wrapper_cfg` are changed in place.
    """
    if cfg.get('launcher', 'none') == 'none' or get_device() != 'cpu':
        return
    env_cfg = cfg.setdefault('env_cfg', {})
    dist_cfg: dict[str, Any] = env_cfg.setdefault('dist_cfg', {})
    dist_cfg['backend'] = 'gloo'
    if not is_distributed():
        connect_gloo(cfg.launcher, **dist_cfg)
    wrapper = cfg.get('model_wrapper_cfg') or {
        'type': 'MMDistributedDataParallel',
        'broadcast_buffers': False,
        'find_unused_parameters': cfg.get('find_unused_parameters', False),
    }
    cfg.model_wrapper_cfg = {**wrapper, 'device_ids': None}


def connect_gloo(launcher: str, **dist_cfg: Any) -> None:
    """Connect the processes that a launcher started over gloo, with or without GPUs.

    Args:
        launcher: 'pytorch', 'slurm' or 'mpi'.
        dist_cfg: further arguments of mmengine's `init_dist`.
    """
    # A CPU torch has no torch._C._cuda_setDevice. The rest of init_dist (addresses and ranks
    # from torchrun's, slurm's or MPI's environment) is right for gloo as well.
    no_device = nullcontext()
    if get_device() == 'cpu':
        no_device = mock.patch.object(torch.cuda, 'set_device', lambda device: None)
    with no_device:
        init_dist(launcher, **{**dist_cfg, 'backend': 'gloo'})
    # gloo's threads may otherwise outlive what they use, and abort a process that is done
    atexit.register(_disconnect)


def _disconnect() -> None:
    if is_distributed():
        torch.distributed.destroy_process_group()
