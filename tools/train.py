#!/usr/bin/env python
"""Train a labeler (phase 1) or a segmenter (phase 2); the command line is MMDetection's.

examples:
  python tools/train.py configs/mal/vit_mae_base.py
  python tools/train.py mal_mm::mal/vit_mae_base.py --work-dir work_dirs/mine \\
      --cfg-options train_cfg.max_epochs=2 train_dataloader.batch_size=2
  bash tools/dist_train.sh configs/mal/vit_mae_base.py 8
"""

import argparse
import sys

from mmengine.config import Config

import mal_mm  # noqa: F401  (registers, and lets configs inherit from `mal_mm::`)
from mal_mm.launcher import add_common_arguments, build_runner, load_config


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config', help='config file, or mal_mm::NAME for one of ours')
    parser.add_argument('--amp', action='store_true', help='mixed precision (on an accelerator)')
    parser.add_argument(
        '--auto-scale-lr',
        action='store_true',
        help='scale the learning rate with the batch size (auto_scale_lr of the config)',
    )
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        metavar='CHECKPOINT',
        help='go on from this checkpoint, or from the latest one in the work dir',
    )
    add_common_arguments(parser)
    return parser.parse_args()


def apply_training_options(cfg: Config, args: argparse.Namespace) -> None:
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
        cfg.resume = True
        cfg.load_from = None if args.resume == 'auto' else args.resume


def main() -> None:
    args = parse_args()
    try:
        cfg = load_config(args)
        apply_training_options(cfg, args)
    except (FileNotFoundError, ValueError) as error:
        sys.exit(f'train.py: {error}')
    build_runner(cfg).train()


if __name__ == '__main__':
    main()
