"""Distributed training and testing without a GPU."""

from __future__ import annotations

import atexit
import datetime
import os
from contextlib import AbstractContextManager, nullcontext
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


class RanksError(RuntimeError):
    """The processes of a run have lost each other; says what was waited for."""


def patient_group() -> Any:
    """A group of all processes that may wait for each other for a week; None for a single one.

    The default group's patience also holds for the start, where a process that has died before it
    connected would be waited for as long.
    """
    if not is_distributed():
        return None
    week = datetime.timedelta(days=7)
    return torch.distributed.new_group(backend='gloo', timeout=week)


def connect_seconds() -> int:
    """How long processes wait for each other at the start: MAL_CONNECT_SECONDS, else 600."""
    text = os.environ.get('MAL_CONNECT_SECONDS', '')
    return int(text) if text.isdigit() and int(text) else 600


def connect_gloo(launcher: str, **dist_cfg: Any) -> None:
    """Connect the processes that a launcher started over gloo, with or without GPUs.

    Args:
        launcher: 'pytorch', 'slurm' or 'mpi'.
        dist_cfg: further arguments of mmengine's `init_dist`; `timeout` in seconds, by default
            `connect_seconds`.

    Raises:
        RanksError: not all have come in time.
    """
    dist_cfg.setdefault('timeout', connect_seconds())
    # A CPU torch has no torch._C._cuda_setDevice. The rest of init_dist (addresses and ranks
    # from torchrun's, slurm's or MPI's environment) is right for gloo as well.
    no_device: AbstractContextManager = nullcontext()
    if get_device() == 'cpu':
        no_device = mock.patch.object(torch.cuda, 'set_device', lambda device: None)
    try:
        with no_device:
            init_dist(launcher, **{**dist_cfg, 'backend': 'gloo'})
    except RuntimeError as error:
        here, number = os.environ.get('RANK', '?'), os.environ.get('WORLD_SIZE', '?')
        raise RanksError(
            f'rank {here} could not connect to all {number} processes within '
            f'{dist_cfg["timeout"]} s, so one has ended or cannot be reached ({_first(error)}); '
            'look at what the others say. MAL_CONNECT_SECONDS gives slow starts more time'
        ) from error
    # gloo's threads may otherwise outlive what they use, and abort a process that is done
    atexit.register(_disconnect)


def _disconnect() -> None:
    if is_distributed():
        torch.distributed.destroy_process_group()


def _first(error: BaseException) -> str:
    """The first line of an error, which may come with a page of C++ frames."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
