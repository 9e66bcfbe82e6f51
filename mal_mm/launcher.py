"""What tools/train.py and tools/test.py share: command line, config, runner."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

import torch
from mmdet.utils import setup_cache_size_limit_of_dynamo
from mmengine.config import Config, DictAction
from mmengine.registry import RUNNERS
from mmengine.runner import Runner

from .compat.config_bases import find_config
from .compat.config_options import check_option_keys
from .compat.cpu_precision import fall_back_to_fp32
from .compat.cpu_ranks import prepare_cpu_ranks
from .evaluation.fast_coco_eval import use_fast_coco_eval
from .labeler_data import apply_labeler_data
from .phase2.mal_masks import apply_mal_masks, read_images_as_labeling


def add_common_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what MMDetection's train.py and test.py have in common."""
    parser.add_argument('--work-dir', help='folder for logs and checkpoints')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        metavar='KEY=VALUE',
        help='override settings of the config, such as train_cfg.max_epochs=2; '
        'lists as key="[a,b]" or key=a,b, without blanks',
    )
    parser.add_argument(
        '--launcher',
        choices=['none', 'pytorch', 'slurm', 'mpi'],
        default='none',
        help='what started the processes (dist_*.sh and slurm_*.sh set this)',
    )
    parser.add_argument(
        '--local_rank', '--local-rank', type=int, default=0, help='set by torchrun'
    )


def load_config(args: argparse.Namespace) -> Config:
    """Read `args.config` and apply the common arguments to it.

    `args.config` may also name a config of mal_mm as 'mal_mm::mal/vit_mae_base.py'.

    Raises:
        FileNotFoundError: there is no such config.
        ValueError: a variable of the config has no place to act, such as `mal_ann_file`.
    """
    path = find_config(args.config)
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    cfg = Config.fromfile(path)
    cfg.launcher = args.launcher
    if args.cfg_options is not None:
        for warning in check_option_keys(cfg, args.cfg_options):
            print(f'warning: {warning}', file=sys.stderr)
        cfg.merge_from_dict(args.cfg_options)
    apply_mal_masks(cfg, args.cfg_options)
    apply_labeler_data(cfg)
    if args.work_dir is not None:
        cfg.work_dir = args.work_dir
    elif cfg.get('work_dir') is None:
        cfg.work_dir = str(Path('work_dirs', Path(path).stem))
    return cfg


def build_runner(cfg: Config) -> Runner:
    """Build the Runner, on a CPU as well and with several processes.

    Raises:
        ValueError: more processes on this machine than GPUs.
    """
    local_rank = int(os.environ.get('LOCAL_RANK', 0))
    if cfg.launcher == 'pytorch' and 0 < torch.cuda.device_count() <= local_rank:
        raise ValueError(
            f'process {local_rank} has no GPU, since this machine shows '
            f'{torch.cuda.device_count()}; start that many processes at most, or hide the GPUs '
            'with CUDA_VISIBLE_DEVICES= to train on the CPU'
        )
    setup_cache_size_limit_of_dynamo()
    fall_back_to_fp32(cfg)
    prepare_cpu_ranks(cfg)
    use_fast_coco_eval()
    read_images_as_labeling(cfg)
    return RUNNERS.build(cfg) if 'runner_type' in cfg else Runner.from_cfg(cfg)
