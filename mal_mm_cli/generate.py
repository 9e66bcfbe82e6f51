"""Rewrite a COCO-style annotation file with a mask for every box.

Each annotation gets `segmentation` (compressed RLE), `area` (of the mask) and `mal_quality` in
[0, 1], an estimate of how good the mask is. All other fields and keys are kept; order and number
of annotations too. What cannot be labelled is kept, marked `mal_skipped`, and listed at the end.
A YouTube-VIS file is labelled frame by frame, and comes back as one.

Results are saved as they come, in OUT.parts/. After a kill, a crash or Ctrl-C call the same with
--resume: the finished file is the same as without the interruption, byte for byte, and the same
for any number of GPUs.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from .labeling_options import (
    add_drawing_options,
    add_file_options,
    add_machine_options,
    add_output_options,
    add_selection_options,
    add_weight_options,
)

EXAMPLES = """examples:
  masks without training:
  mal-mm generate configs/mal/instant_dinov2_small.py --download \\
      --ann boxes.json --img-root photos --out masks.json --report report
  of a labeler that was trained:
  mal-mm generate configs/mal/vit_mae_base.py \\
      work_dirs/vit_mae_base/epoch_10.pth --img-root data/coco/train2017 \\
      --ann data/coco/annotations/instances_train2017.json \\
      --out data/coco/annotations/instances_train2017_mal.json --report work_dirs/report
  the same on 8 GPUs:
  torchrun --nproc_per_node 8 tools/generate_pseudo_masks.py ... --launcher pytorch
  look first, change nothing:
  mal-mm generate ... --dry-run

exit status: 0 all labelled, 1 refused to start or failed (what was done is kept, see --resume),
3 finished with skipped annotations, 130 interrupted
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Its options."""
    parser.add_argument('config', help='config of the labeler, or mal_mm::NAME for one of ours')
    parser.add_argument(
        'checkpoint',
        nargs='?',
        help='its weights; labelers without training (mal/instant_*, mal/sam_*) need none',
    )
    files = add_file_options(parser)
    files.add_argument(
        '--overwrite-ann', action='store_true', help='let --out be --ann: its masks are replaced'
    )
    files.add_argument('--resume', action='store_true', help='go on with an interrupted run')
    files.add_argument(
        '--dry-run', action='store_true', help='check everything, print the plan and end'
    )
    add_selection_options(parser).add_argument(
        '--boxes',
        type=Path,
        metavar='RESULTS.json',
        help="label a detector's boxes (COCO result file) on the images of --ann instead of its "
        'annotations; scores are kept',
    )
    add_drawing_options(parser)
    add_output_options(parser)
    add_weight_options(parser)
    machine = add_machine_options(parser)
    machine.add_argument(
        '--cfg-options',
        nargs='+',
        metavar='KEY=VALUE',
        help='override settings of the config, such as model.encoder.init_cfg.checkpoint=PATH',
    )
    machine.add_argument(
        '--launcher',
        choices=['none', 'pytorch', 'slurm', 'mpi'],
        default='none',
        help='what started the processes (default: none, a single one)',
    )
    machine.add_argument('--local_rank', '--local-rank', type=int, help=argparse.SUPPRESS)


def interrupted(args: argparse.Namespace) -> str:
    """What to say after Ctrl-C."""
    return (
        f'{args.out} is not written yet, what was done is kept: call the same with --resume to go '
        'on'
    )


def check_files(args: argparse.Namespace) -> None:
    """Refuse to write over what is read."""
    from mal_mm.formats.distinct_files import check_distinct, check_outputs

    read = {
        'CONFIG': args.config,
        'CHECKPOINT': args.checkpoint,
        '--boxes': args.boxes,
        '--img-root': args.img_root,
    }
    written = {'--out': args.out, '--summary': args.summary, '--report': args.report}
    parts = args.out.with_name(f'{args.out.name}.parts')
    check_distinct(read, {**written, 'the folder of the parts': parts})
    if args.overwrite_ann:
        written.pop('--out')
    check_distinct({'--ann': args.ann}, written, '--overwrite-ann')
    check_outputs({name: path for name, path in written.items() if path is not None})


def run(args: argparse.Namespace) -> int:
    """Label; the exit status."""
    from mal_mm.workflow.labeling_checks import (
        check_annotations,
        check_arguments,
        find_weights,
        is_untrained,
        read_config,
    )

    check_arguments(args)
    check_files(args)
    config = read_config(args.config, args.cfg_options)
    if args.checkpoint is None and not is_untrained(config.model):
        raise ValueError(
            f'{args.config} is a labeler that is trained: name its CHECKPOINT after it, or take '
            'configs/mal/instant_dinov2_small.py, which needs none'
        )
    if args.checkpoint is not None and args.weights is not None:
        print('--weights is not used: all weights are in CHECKPOINT', file=sys.stderr)
    check_annotations(args.ann, args.boxes)
    find_weights(config, args, args.checkpoint)
    # torch: from here on it takes seconds
    from mal_mm.workflow.labeling_command import finish, make_job, make_labeler, run_job

    if args.launcher != 'none':
        from mal_mm.compat.cpu_ranks import connect_gloo

        connect_gloo(args.launcher)
    labeler = make_labeler(args, config, args.checkpoint)
    job = make_job(args, labeler, detections=args.boxes)
    if args.dry_run:
        from mal_mm.labeling.dry_run import describe_job

        text, problems = describe_job(job)
        print(text)
        return 3 if problems else 0
    start = time.time()
    summary = run_job(job, args.resume)
    return 0 if summary is None else finish(args, summary, time.time() - start)
