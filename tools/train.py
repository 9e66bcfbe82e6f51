#!/usr/bin/env python
"""Train a labeler (phase 1) or a segmenter (phase 2); the command line is MMDetection's.

examples:
  python tools/train.py configs/mal/vit_mae_base.py
  python tools/train.py mal_mm::mal/vit_mae_base.py --work-dir work_dirs/mine \\
      --cfg-options train_cfg.max_epochs=2 train_dataloader.batch_size=2
  bash tools/dist_train.sh configs/mal/vit_mae_base.py 8

large encoders:
  bfloat16, which has the range of float32, instead of float16:
      --cfg-options optim_wrapper.dtype=bfloat16
  optimiser state sharded over the ranks (ZeRO; needs dist_train.sh or slurm_train.sh):
      --cfg-options optim_wrapper.optimizer.type=ZeroRedundancyOptimizer \\
          optim_wrapper.optimizer.optimizer_type=AdamW
"""

import argparse
import os
import sys

from mmengine.config import Config

import mal_mm  # noqa: F401  (registers, and lets configs inherit from `mal_mm::`)
from mal_mm.hooks.atomic_checkpoint_hook import checkpoint_to_resume
from mal_mm.launcher import add_common_arguments, build_runner, load_config
from mal_mm.phase2.image_file_check import check_image_files
from mal_mm.phase2.mask_file_check import check_mask_file
from mal_mm.tool_errors import leave

# where a launcher tells a process its number
RANK = {'pytorch': 'RANK', 'slurm': 'SLURM_PROCID', 'mpi': 'OMPI_COMM_WORLD_RANK'}


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
        help='go on from this checkpoint, or from the latest one in the work dir if there is one '
        '(a job that may be requeued can always say it)',
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
        named = None if args.resume == 'auto' else args.resume
        checkpoint = checkpoint_to_resume(cfg.work_dir, named)
        # a first start keeps the config's `load_from`
        if checkpoint is not None:
            cfg.resume, cfg.load_from = True, checkpoint


def main() -> int:
    args = parse_args()
    try:
        return run(args)
    except (Exception, KeyboardInterrupt) as error:
        saved = 'the same command with --resume goes on from the last checkpoint'
        leave('train.py', error, saved)


def run(args: argparse.Namespace) -> int:
    cfg = load_config(args)
    apply_training_options(cfg, args)
    # once for all processes: the file may be large
    if os.environ.get(RANK.get(args.launcher, ''), '0') == '0':
        for warning in [*check_mask_file(cfg), *check_image_files(cfg)]:
            print(f'train.py: warning: {warning}', file=sys.stderr)
    build_runner(cfg).train()
    return 0


if __name__ == '__main__':
    sys.exit(main())
