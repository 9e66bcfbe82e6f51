"""One training sample: a box of a 640 x 480 JPEG to its 512 x 512 crop, packed for the batch.

Runs RoIDataset with the pipeline of a config (decode, RoICrop, RandomFlip, PackRoIInputs; what
the data preprocessor does on the device comes later) on procedural pictures with 7 boxes each, and
says what each stage costs. The files lie in the page cache, as they do from the second epoch on.

    python benchmarks/bench_training_sample.py
    python benchmarks/bench_training_sample.py --quality 95 --min-area 0
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from pathlib import Path

import common  # first: it sets the threads, which libraries read when they are loaded
import numpy as np
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.registry import init_default_scope

from mal_mm.datasets import RoIDataset

CONFIG = Path(__file__).parents[1] / 'configs/mal/_base_/datasets/coco_boxes.py'


def build_dataset(config: Path, ann_file: Path, min_area: float) -> RoIDataset:
    """The config's training set on another annotation file."""
    options = Config.fromfile(str(config)).train_dataloader.dataset
    options.pop('type')
    options.min_area = min_area
    options.dataset.update(
        data_root='', ann_file=str(ann_file), data_prefix=dict(img=str(ann_file.parent))
    )
    return RoIDataset(**options)


def main() -> None:
    args = parse_args()
    common.set_clock(args.clock)
    MMLogger.get_instance('benchmark', log_level='WARNING')
    init_default_scope('mmdet')
    with tempfile.TemporaryDirectory() as folder:
        ann_file, size = common.write_coco(
            Path(folder), args.images, 7, args.seed, args.quality, min_area=args.min_area
        )
        dataset = build_dataset(args.config, ann_file, args.min_area)
        stages = common.Stages()
        dataset.get_sample = stages.wrap('get_sample', dataset.get_sample)
        transforms = dataset.pipeline.transforms
        transforms[:] = [stages.wrap(type(t).__name__, t) for t in transforms]

        np.random.seed(args.seed)
        order = np.random.permutation(len(dataset))
        for index in order[: len(order) // 10 + 1]:
            dataset[int(index)]
        for spent in stages.spent.values():
            spent.clear()
        samples = []
        for index in np.random.permutation(np.resize(order, args.samples)):
            start = common.now()
            dataset[int(index)]
            samples.append(1000 * (common.now() - start))

    print(common.machine())
    print(
        f'{args.samples} samples of {len(dataset)} boxes in {args.images} images of 640 x 480, '
        f'JPEG quality {args.quality}, {size / 1000:.0f} kB each; ms, {args.clock} clock'
    )
    tenth, median, ninetieth = (float(np.quantile(samples, q)) for q in (0.1, 0.5, 0.9))
    print(f'  {"a sample":<20} {median:6.2f}   (10 %: {tenth:.2f}, 90 %: {ninetieth:.2f})')
    for name, spent in stages.spent.items():
        print(f'    {name:<18} {1000 * statistics.median(spent):6.2f}')


def parse_args() -> argparse.Namespace:
    parser = common.make_parser(__doc__)
    parser.add_argument('--config', type=Path, default=CONFIG, help=f'(default: {CONFIG.name})')
    parser.add_argument('--images', type=int, default=40, help='pictures (default: 40)')
    parser.add_argument('--samples', type=int, default=600, help='samples (default: 600)')
    parser.add_argument('--quality', type=int, default=90, help='of the JPEGs (default: 90)')
    parser.add_argument(
        '--min-area', type=float, default=2048, help='of the boxes, px^2 (default: 2048)'
    )
    return parser.parse_args()


if __name__ == '__main__':
    main()
