"""A training step of the segmenters whose ops mmcv compiles: Mask DINO and Mask2Former."""

from __future__ import annotations

import argparse
from typing import Any

import bench_maskdino_cost as cost
import common
import torch
from mmengine.config import Config
from mmengine.hub import get_config
from training_step import quiet

from mal_mm import config_path

from . import Row, Size

THINNER = 16


def maskdino(device: str, size: Size) -> list[Row]:
    """Mask DINO R50."""
    cfg = Config.fromfile(config_path(cost.MASKDINO.format('hid2048')))
    return _measure('Mask DINO R50', cfg, device, size)


def mask2former(device: str, size: Size) -> list[Row]:
    """Mask2Former R50 of MMDetection."""
    return _measure('Mask2Former R50', get_config(cost.MASK2FORMER), device, size)


def _measure(name: str, cfg: Config, device: str, size: Size) -> list[Row]:
    quiet()
    on_gpu = torch.device(device).type == 'cuda'
    common.set_clock('wall')
    batch, objects = (1, 2) if size.tiny else (2, 7)
    if size.tiny:
        cfg.model.backbone.base_channels = 64 // THINNER
        _shrink(cfg.model.panoptic_head)
    args = argparse.Namespace(device=device, size=size.picture, amp=on_gpu, seed=0)
    run = cost.Training(cfg, cost.make_batch(batch, size.picture, objects, 0), args)
    rounds = 1 if size.tiny else 10
    timing = common.time_in_turn({name: run.step}, rounds, warmup=3 if on_gpu else 0)[name]
    what = f'{name} {size.picture} px, batch {batch}, {"fp16" if on_gpu else "fp32"}'
    rows = [Row(what, 1 / timing.median, 'it/s', f'{1000 * timing.median:.0f} ms a step')]
    if on_gpu:
        rows.append(Row('  peak memory', run.peak / 2**30, 'GiB'))
    return rows


def _shrink(node: Any) -> None:
    """One layer of each transformer, few queries and a thin backbone, where the code is tried."""
    if not isinstance(node, dict):
        return
    for key, value in node.items():
        if key == 'num_layers':
            node[key] = 1
        elif key == 'num_queries':
            node[key] = 20
        elif key == 'in_channels' and isinstance(value, list):
            node[key] = [width // THINNER for width in value]
        else:
            _shrink(value)
