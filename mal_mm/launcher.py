"""What training and testing share: from the arguments to the config and its Runner.

torch and MMDetection, which take seconds, are imported when what can be told without them is told.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from mmengine.config import Config

from mal_mm_cli.door import is_verbose

from .checkpoints.resume import checkpoint_to_resume
from .compat.config_bases import find_config
from .compat.config_options import check_option_keys, parse_options
from .labeler_data import apply_labeler_data
from .phase2.mal_masks import apply_mal_masks, read_images_as_labeling
from .phase2.own_data import OwnData, class_names

if TYPE_CHECKING:
    from mmengine.runner import Runner


def load_config(args: argparse.Namespace) -> Config:
    """Read `args.config` and apply the arguments of mal_mm_cli/config_arguments.py to it.

    `args.config` may also name a config of mal_mm as 'mal_mm::mal/vit_mae_base.py'.

    Raises:
        FileNotFoundError: there is no such config.
        AnnotationError: an annotation file of the arguments cannot be used.
        ValueError: a variable of the config has no place to act, such as `mal_ann_file`.
    """
    path = find_config(args.config)
    data = OwnData.of(args) if hasattr(args, 'val_ann') else None
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    classes = None if data is None else class_names(data.ann)
    options = parse_options(args.cfg_options)
    cfg = Config.fromfile(path)
    cfg.launcher = args.launcher
    if cfg.get('work_dir') is None:
        cfg.work_dir = str(Path('work_dirs', Path(path).stem))
    if data is not None:
        resumed = getattr(args, 'resume', None)
        if resumed not in (None, 'auto'):  # see `apply_training_options`
            checkpoint_to_resume(args.work_dir or cfg.work_dir, resumed)
        from .phase2.custom_data import put_on_data

        put_on_data(cfg, data, classes)
    for warning in check_option_keys(cfg, options):
        print(f'warning: {warning}', file=sys.stderr)
    cfg.merge_from_dict(options)
    apply_mal_masks(cfg, options)
    apply_labeler_data(cfg)
    if args.work_dir is not None:
        cfg.work_dir = args.work_dir
    return cfg


def apply_training_options(cfg: Config, args: argparse.Namespace) -> None:
    """What --amp, --auto-scale-lr and --resume ask for, in place.

    Raises:
        ValueError: the config does not say for which batch size its learning rate is.
        FileNotFoundError: there is no such checkpoint.
    """
    if args.amp:
        cfg.optim_wrapper.type = 'AmpOptimWrapper'
        cfg.optim_wrapper.setdefault('loss_scale', 'dynamic')
    if args.auto_scale_lr:
        if 'base_batch_size' not in cfg.get('auto_scale_lr', {}):
            raise ValueError(
                '--auto-scale-lr needs auto_scale_lr = dict(base_batch_size=...) in the config '
                f'{args.config}'
            )
        cfg.auto_scale_lr.enable = True
    if args.resume is not None:
        named = None if args.resume == 'auto' else args.resume
        checkpoint = checkpoint_to_resume(cfg.work_dir, named)
        # a first start keeps the config's `load_from`
        if checkpoint is not None:
            cfg.resume, cfg.load_from = True, checkpoint


def build_runner(cfg: Config) -> Runner:
    """Build the Runner, on a CPU as well and with several processes; quiet unless --verbose.

    Raises:
        ValueError: more processes on this machine than GPUs.
    """
    import torch
    from mmdet.utils import setup_cache_size_limit_of_dynamo
    from mmengine.registry import RUNNERS

    from .compat.cpu_precision import fall_back_to_fp32
    from .compat.cpu_ranks import prepare_cpu_ranks
    from .evaluation.fast_coco_eval import use_fast_coco_eval
    from .hooks.console_progress_hook import ConsoleProgressHook
    from .runner.quiet_runner import quiet, silence_coco

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
    kind = RUNNERS.get(cfg.get('runner_type', 'Runner'))
    if not is_verbose():
        kind = quiet(kind)
        silence_coco()
    runner = kind.from_cfg(cfg)
    if not is_verbose():
        runner.register_hook(ConsoleProgressHook())
    return runner
