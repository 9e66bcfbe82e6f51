"""Train a labeler (phase 1) or a segmenter (phase 2).

The config says how; --ann and --img-root put it on your own COCO-style files: classes, heads,
evaluation and paths are set to fit them. The arguments are MMDetection's, so that its users find
theirs. Where a training was interrupted, the same command with --resume goes on.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from .config_arguments import add_config_arguments

EXAMPLES = """examples:
  your own boxes, with validation on human masks:
  mal-mm train mal_mm::mal/vit_mae_base.py --ann train.json --img-root images \\
      --val-ann val.json --val-img-root images
  a segmenter on the masks that a labeler has drawn of them:
  mal-mm train mal_mm::phase2/solov2_r50_fpn_3x_coco_mal.py --ann masks.json --img-root images
  COCO as the config says, on 8 GPUs:
  bash tools/dist_train.sh configs/mal/vit_mae_base.py 8
  shorter, into a folder of its own:
  mal-mm train mal_mm::mal/vit_mae_base.py --work-dir work_dirs/mine \\
      --cfg-options train_cfg.max_epochs=2 train_dataloader.batch_size=2

large encoders:
  bfloat16, which has the range of float32, instead of float16:
      --cfg-options optim_wrapper.dtype=bfloat16
  optimiser state sharded over the ranks (ZeRO; needs dist_train.sh or slurm_train.sh):
      --cfg-options optim_wrapper.optimizer.type=ZeroRedundancyOptimizer \\
          optim_wrapper.optimizer.optimizer_type=AdamW

exit status: 0 trained, 1 refused or failed (the reason is on stderr), 2 wrong arguments,
130 interrupted
"""

# where a launcher tells a process its number
RANK = {'pytorch': 'RANK', 'slurm': 'SLURM_PROCID', 'mpi': 'OMPI_COMM_WORLD_RANK'}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Its options."""
    parser.add_argument('config', help='config file, or mal_mm::NAME for one of ours')
    data = parser.add_argument_group('your own data (COCO-style files)')
    data.add_argument('--ann', type=Path, metavar='JSON', help='boxes (phase 1), masks (phase 2)')
    data.add_argument('--img-root', type=Path, metavar='DIR', help='folder of its images')
    data.add_argument(
        '--val-ann', type=Path, metavar='JSON', help='human masks to judge by (default: none)'
    )
    data.add_argument('--val-img-root', type=Path, metavar='DIR', help='folder of its images')
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
    add_config_arguments(parser)


def interrupted(args: argparse.Namespace) -> str:
    """What to say after Ctrl-C."""
    return 'the same command with --resume goes on from the last checkpoint'


def run(args: argparse.Namespace) -> int:
    """Train; the exit status."""
    import os

    from mal_mm.launcher import apply_training_options, build_runner, load_config
    from mal_mm.phase2.missing_files import check_files_of

    cfg = load_config(args)
    apply_training_options(cfg, args)
    check_files_of(cfg, 'train')
    # torch and MMDetection: from here on it takes seconds
    from mal_mm.phase2.image_file_check import check_image_files
    from mal_mm.phase2.mask_file_check import check_mask_file

    # once for all processes: the file may be large
    if os.environ.get(RANK.get(args.launcher, ''), '0') == '0':
        for warning in [*check_mask_file(cfg), *check_image_files(cfg)]:
            print(f'warning: {warning}', file=sys.stderr)
    build_runner(cfg).train()
    return 0
