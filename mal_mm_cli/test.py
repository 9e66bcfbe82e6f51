"""Evaluate a checkpoint on the config's test data.

The arguments are MMDetection's, so that its users find theirs.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from .config_arguments import add_config_arguments

EXAMPLES = """examples:
  mal-mm test configs/phase2/solov2_r50_fpn_3x_coco_mal.py work_dirs/solov2/latest.pth
  bash tools/dist_test.sh configs/phase2/solov2_r50_fpn_3x_coco_mal.py latest.pth 8 --out found.pkl
  test-dev: test_dev.bbox.json and test_dev.segm.json for the evaluation server
  mal-mm test configs/phase2/solov2_r50_fpn_3x_coco_mal.py latest.pth \\
      --format-only test_dev --img-root data/coco/test2017 \\
      --ann data/coco/annotations/image_info_test-dev2017.json

exit status: 0 done, 1 refused or failed (the reason is on stderr), 2 wrong arguments
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Its options."""
    parser.add_argument('config', help='config file, or mal_mm::NAME for one of ours')
    parser.add_argument('checkpoint', help='checkpoint file')
    parser.add_argument('--out', metavar='FILE.pkl', help='also write all predictions here')
    parser.add_argument(
        '--format-only',
        metavar='PREFIX',
        help='write PREFIX.bbox.json and PREFIX.segm.json and no scores: for test sets whose '
        'ground truth is not public',
    )
    parser.add_argument(
        '--ann', metavar='JSON', help='with --format-only: images and categories of the test set'
    )
    parser.add_argument('--img-root', metavar='DIR', help='with --format-only: its images')
    parser.add_argument('--show', action='store_true', help='show the predictions')
    parser.add_argument('--show-dir', help='save the painted images in this folder')
    parser.add_argument('--wait-time', type=float, default=2, help='seconds per image shown')
    parser.add_argument('--tta', action='store_true', help='average over test-time augmentation')
    add_config_arguments(parser)


def check(args: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    """Refuse what does not go together."""
    if args.out is not None and Path(args.out).suffix not in ('.pkl', '.pickle'):
        parser.error(f'--out must end in .pkl or .pickle, got {args.out!r}')
    if args.format_only is None and (args.ann or args.img_root):
        parser.error('--ann and --img-root go with --format-only PREFIX')


def run(args: argparse.Namespace) -> int:
    """Test; the exit status."""
    from mal_mm.formats.distinct_files import check_distinct
    from mal_mm.launcher import build_runner, load_config
    from mal_mm.phase2.missing_files import check_files_of
    from mal_mm.phase2.result_files import write_results_only

    read = {'CONFIG': args.config, 'CHECKPOINT': args.checkpoint, '--ann': args.ann}
    names = [f'{args.format_only}.{kind}.json' for kind in ('bbox', 'segm') if args.format_only]
    written = {f'--format-only {name}': name for name in names}
    check_distinct(read, {'--out': args.out, **written})
    if '://' not in args.checkpoint and not Path(args.checkpoint).is_file():
        raise FileNotFoundError(f'{args.checkpoint}: no such checkpoint file')
    cfg = load_config(args)
    if args.format_only is not None:
        write_results_only(cfg, args.format_only, args.ann, args.img_root)
    check_files_of(cfg, 'test')
    cfg.load_from = args.checkpoint
    from mal_mm.test_time import show_predictions, use_tta

    if args.show or args.show_dir:
        show_predictions(cfg, args)
    if args.tta:
        use_tta(cfg)
    runner = build_runner(cfg)
    if args.out is not None:
        from mmdet.evaluation import DumpDetResults

        runner.test_evaluator.metrics.append(DumpDetResults(out_file_path=args.out))
    runner.test()
    return 0
