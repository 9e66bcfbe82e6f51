#!/usr/bin/env python
"""A small Mask DINO memorises eight drawn images: does the model learn what it is shown?

configs/phase2/sample_shapes_maskdino.py trains on eight images of the `shapes` set and is
evaluated on the same eight. Exit status 1 if the mask AP stays below --wanted. With --boxes-only
the model is a detector (`with_mask=False`), and its box AP counts.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from mmengine.config import Config, DictAction
from mmengine.runner import Runner

from mal_mm.samples import make_shapes

CONFIG = Path(__file__).resolve().parents[1] / 'configs/phase2/sample_shapes_maskdino.py'


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument('--images', type=int, default=8, help='how many')
    parser.add_argument('--size', type=int, default=128, help='side of the images, pixels')
    parser.add_argument('--max-iters', type=int, default=400, help='length of the training')
    parser.add_argument('--wanted', type=float, default=0.9, help='AP to reach')
    parser.add_argument('--boxes-only', action='store_true', help='no masks at all')
    parser.add_argument('--seed', type=int, default=0, help='of images and weights')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        metavar='KEY=VALUE',
        help='other settings, such as model.panoptic_head.decoder.box_init=no',
    )
    return parser.parse_args()


def overfit_config(args: argparse.Namespace, data: Path) -> Config:
    """The config, without anything that keeps from memorising."""
    cfg = Config.fromfile(CONFIG)
    cfg.model.backbone.init_cfg = None
    pipeline = [step for step in cfg.train_pipeline if step.type != 'RandomFlip']
    for loader in (cfg.train_dataloader, cfg.val_dataloader):
        loader.update(num_workers=0, persistent_workers=False)
        loader.dataset.update(data_root=str(data), ann_file='train_gt.json')
    cfg.train_dataloader.batch_size = args.images
    cfg.train_dataloader.dataset.pipeline = pipeline
    for step in pipeline + cfg.val_dataloader.dataset.pipeline:
        if step.type == 'Resize':
            step.scale = (args.size, args.size)
    cfg.test_dataloader = cfg.val_dataloader
    cfg.val_evaluator.ann_file = cfg.test_evaluator.ann_file = str(data / 'train_gt.json')
    cfg.train_cfg.update(max_iters=args.max_iters, val_interval=max(args.max_iters // 4, 1))
    cfg.optim_wrapper.optimizer.weight_decay = 0.0
    warm_up = min(50, args.max_iters // 2)
    cfg.param_scheduler = [
        dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=warm_up),
        dict(
            type='CosineAnnealingLR',
            eta_min_ratio=0.01,
            by_epoch=False,
            begin=warm_up,
            end=args.max_iters,
            T_max=args.max_iters - warm_up,
        ),
    ]
    cfg.default_hooks.checkpoint.update(interval=-1, save_last=False)
    cfg.default_hooks.logger.interval = 20
    cfg.randomness = dict(seed=args.seed)
    cfg.work_dir = str(data / 'work_dir')
    if args.boxes_only:
        cfg.model.panoptic_head.with_mask = False
        cfg.model.panoptic_head.decoder.box_init = 'no'
        cfg.val_evaluator.metric = cfg.test_evaluator.metric = 'bbox'
        for step in pipeline:
            if step.type == 'LoadAnnotations':
                step.with_mask = False
            if step.type == 'FilterAnnotations':
                step.by_mask = False
    if args.cfg_options:
        cfg.merge_from_dict(args.cfg_options)
    return cfg


def main() -> int:
    args = parse_args()
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder)
        make_shapes(data, args.images, num_unseen=0, size=args.size, seed=args.seed)
        runner = Runner.from_cfg(overfit_config(args, data))
        start, start_cpu = time.perf_counter(), time.process_time()
        runner.train()
        spent, spent_cpu = time.perf_counter() - start, time.process_time() - start_cpu
        metrics = runner.val_loop.run()
    scores = {
        what: metrics[f'coco/{key}_mAP']
        for key, what in (('segm', 'mask AP'), ('bbox', 'box AP'))
        if f'coco/{key}_mAP' in metrics
    }
    print(
        ', '.join(f'{what} {ap:.3f}' for what, ap in scores.items())
        + f' on the {args.images} images trained on, after {args.max_iters} iterations, '
        f'{spent:.0f} s ({spent_cpu:.0f} s of CPU)'
    )
    ap, *_ = scores.values()  # that of masks where there are any
    return 0 if ap >= args.wanted else 1


if __name__ == '__main__':
    sys.exit(main())
