#!/usr/bin/env python
"""Retention rate on drawn shapes: human, instant, trained and box-fill masks, and BoxInst.

One small segmenter (configs/phase2/sample_shapes_condinst.py; BoxInst is the same network) sees
the same images in the same order, with the same seed and schedule, and is evaluated on the true
masks of images never trained on. If it stops, the same command goes on from the latest checkpoint.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
from pathlib import Path

from mal_mm.evaluation.floors import box_fill_rle
from mal_mm.evaluation.retention import read_evaluation
from mal_mm.formats import read_coco, write_coco
from mal_mm.formats.rle import decode_tight

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = """examples:
  python tools/make_sample_dataset.py shapes data/shapes --num-images 500 --num-unseen 100
  python tools/label.py --ann data/shapes/train.json --img-root data/shapes \\
      --out data/shapes/auto.json --work-dir data/shapes/auto.work --download
  cp data/shapes/auto.work/instant.json data/shapes/auto.work/trained.json data/shapes
  python benchmarks/retention_shapes.py data/shapes --runs GT instant trained --seeds 0 1 2
"""
# run -> segmenter's config, training file
RUNS = {
    'GT': ('{family}', 'train_gt.json'),
    'instant': ('{family}', 'instant.json'),
    'trained': ('{family}', 'trained.json'),
    'box fill': ('{family}', 'box_fill.json'),
    'BoxInst': ('boxinst', 'train.json'),
}


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('data', type=Path, help='folder of the sample set')
    parser.add_argument(
        '--segmenter',
        default='condinst',
        help='configs/phase2/sample_shapes_SEGMENTER.py (default: %(default)s)',
    )
    parser.add_argument('--runs', nargs='+', choices=RUNS, default=list(RUNS), metavar='RUN')
    parser.add_argument('--seeds', nargs='+', type=int, default=[0], metavar='SEED')
    parser.add_argument('--work-dir', type=Path, default=Path('work_dirs/retention_shapes'))
    parser.add_argument('--cfg-options', nargs='+', default=[], metavar='KEY=VALUE')
    return parser.parse_args()


def write_box_fill(boxes: Path, out: Path) -> None:
    """Masks that are the boxes themselves."""
    data = read_coco(boxes)
    sizes = {image['id']: (image['height'], image['width']) for image in data['images']}
    for annotation in data['annotations']:
        rle = box_fill_rle(annotation['bbox'], *sizes[annotation['image_id']])
        annotation.update(segmentation=rle, area=int(decode_tight(rle)[0].sum()))
    write_coco(data, out)


def train(name: str, seed: int, args: argparse.Namespace) -> float:
    """Train and evaluate one run; returns its mask AP."""
    segmenter, ann_file = (each.format(family=args.segmenter) for each in RUNS[name])
    data = f'{args.data.resolve()}/'
    work_dir = args.work_dir / f'{segmenter}_{Path(ann_file).stem}_seed{seed}'
    options = [
        f'train_dataloader.dataset.ann_file={ann_file}',
        *(f'{each}_dataloader.dataset.data_root={data}' for each in ('train', 'val', 'test')),
        *(f'{each}_evaluator.ann_file={data}unseen_gt.json' for each in ('val', 'test')),
        f'randomness.seed={seed}',
    ]
    config = ROOT / 'configs' / 'phase2' / f'sample_shapes_{segmenter}.py'
    command = [sys.executable, ROOT / 'tools' / 'train.py', config, '--work-dir', work_dir]
    subprocess.run(
        [*command, '--resume', '--cfg-options', *options, *args.cfg_options], check=True
    )
    return read_evaluation(work_dir).main_score


def main() -> None:
    args = parse_args()
    for name in args.runs:
        ann_file = args.data / RUNS[name][1]
        if name == 'box fill':
            write_box_fill(args.data / 'train.json', ann_file)
        elif not ann_file.is_file():
            sys.exit(f'{ann_file} does not exist; make it first, see --help')
    # seed by seed, so that a part of the runs compares all masks already
    scores = {name: [] for name in args.runs}
    for seed in args.seeds:
        for name in args.runs:
            scores[name].append(train(name, seed, args))
    print(f'seeds {args.seeds}; mask AP and retention rate in %, mean and standard deviation')
    for name, values in scores.items():
        line = f'{name:10} AP {_spread(values)}'
        if 'GT' in scores:
            pairs = zip(values, scores['GT'], strict=True)
            line += f'   retention {_spread([value / human for value, human in pairs])}'
        print(line)


def _spread(values: list[float]) -> str:
    deviation = f' +- {100 * statistics.stdev(values):.1f}' if len(values) > 1 else ''
    return f'{100 * statistics.mean(values):.1f}{deviation}'


if __name__ == '__main__':
    main()
