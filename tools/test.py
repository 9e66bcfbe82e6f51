#!/usr/bin/env python
"""Evaluate a checkpoint on the config's test data; the command line is MMDetection's.

examples:
  python tools/test.py configs/phase2/solov2_r50_fpn_3x_coco_mal.py work_dirs/solov2/latest.pth
  bash tools/dist_test.sh configs/phase2/solov2_r50_fpn_3x_coco_mal.py latest.pth 8 --out found.pkl

  # test-dev: test_dev.bbox.json and test_dev.segm.json for the evaluation server
  python tools/test.py configs/phase2/solov2_r50_fpn_3x_coco_mal.py latest.pth \\
      --format-only test_dev --img-root data/coco/test2017 \\
      --ann data/coco/annotations/image_info_test-dev2017.json
"""

import argparse
import sys
from copy import deepcopy
from pathlib import Path

import mal_mm  # noqa: F401  (first: mends what importing mmdet.evaluation would trip over)

# isort: split
from mmdet.engine.hooks.utils import trigger_visualization_hook
from mmdet.evaluation import DumpDetResults
from mmengine.config import Config, ConfigDict

from mal_mm.formats.distinct_files import check_distinct
from mal_mm.launcher import add_common_arguments, build_runner, load_config
from mal_mm.phase2.result_files import write_results_only
from mal_mm.tool_errors import leave

DEFAULT_TTA_MODEL = {
    'type': 'DetTTAModel',
    'tta_cfg': {'nms': {'type': 'nms', 'iou_threshold': 0.5}, 'max_per_img': 100},
}
TTA_META_KEYS = (
    'img_id',
    'img_path',
    'ori_shape',
    'img_shape',
    'scale_factor',
    'flip',
    'flip_direction',
)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
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
    add_common_arguments(parser)
    args = parser.parse_args()
    if args.out is not None and Path(args.out).suffix not in ('.pkl', '.pickle'):
        parser.error(f'--out must end in .pkl or .pickle, got {args.out!r}')
    if args.format_only is None and (args.ann or args.img_root):
        parser.error('--ann and --img-root go with --format-only PREFIX')
    return args


def use_tta(cfg: Config) -> None:
    """Test on the config's tta_pipeline, by default the image and its mirror image."""
    if 'tta_pipeline' not in cfg:
        dataset = cfg.test_dataloader.dataset
        while 'dataset' in dataset:
            dataset = dataset.dataset
        flips = [{'type': 'RandomFlip', 'prob': prob} for prob in (1.0, 0.0)]
        pack = [{'type': 'PackDetInputs', 'meta_keys': TTA_META_KEYS}]
        tta = {'type': 'TestTimeAug', 'transforms': [flips, pack]}
        cfg.tta_pipeline = [*deepcopy(dataset.pipeline[:-1]), tta]
    cfg.model = ConfigDict(**cfg.get('tta_model', DEFAULT_TTA_MODEL), module=cfg.model)
    cfg.test_dataloader.dataset.pipeline = cfg.tta_pipeline


def main() -> int:
    args = parse_args()
    try:
        return run(args)
    except (Exception, KeyboardInterrupt) as error:
        leave('test.py', error)


def run(args: argparse.Namespace) -> int:
    read = {'CONFIG': args.config, 'CHECKPOINT': args.checkpoint, '--ann': args.ann}
    names = [f'{args.format_only}.{kind}.json' for kind in ('bbox', 'segm') if args.format_only]
    written = {f'--format-only {name}': name for name in names}
    check_distinct(read, {'--out': args.out, **written})
    if '://' not in args.checkpoint and not Path(args.checkpoint).is_file():
        raise FileNotFoundError(f'{args.checkpoint}: no such checkpoint file')
    cfg = load_config(args)
    if args.format_only is not None:
        write_results_only(cfg, args.format_only, args.ann, args.img_root)
    cfg.load_from = args.checkpoint
    if args.show or args.show_dir:
        cfg = trigger_visualization_hook(cfg, args)
    if args.tta:
        use_tta(cfg)
    runner = build_runner(cfg)
    if args.out is not None:
        runner.test_evaluator.metrics.append(DumpDetResults(out_file_path=args.out))
    runner.test()
    return 0


if __name__ == '__main__':
    sys.exit(main())
