#!/usr/bin/env python
"""Retention rate on the drawn `shapes` set: human, MAL's and box-fill masks, and BoxInst.

One small segmenter (configs/phase2/sample_shapes_condinst.py; BoxInst is the same network) sees
the same images in the same order, with the same seed and schedule, and is evaluated on the true
masks of images never trained on. Killed? The same command goes on from the latest checkpoint.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from mal_mm.evaluation.floors import box_fill_rle
from mal_mm.formats import read_coco, write_coco
from mal_mm.formats.rle import decode_tight

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = """examples:
  python tools/make_sample_dataset.py shapes data/shapes --num-images 500 --num-unseen 100
  python tools/train.py configs/mal/small_set.py --cfg-options ann_file=data/shapes/train.json \\
      img_root=data/shapes encoder_checkpoint=dinov2_small.pth
  python tools/generate_pseudo_masks.py configs/mal/small_set.py \\
      $(cat work_dirs/small_set/last_checkpoint) \\
      --ann data/shapes/train.json --img-root data/shapes --out data/shapes/pseudo_masks.json
  python benchmarks/retention_shapes.py data/shapes --plot retention.png
"""
# run -> segmenter's config, training file
RUNS = {
    'GT': ('{family}', 'train_gt.json'),
    'MAL': ('{family}', 'pseudo_masks.json'),
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
    parser.add_argument('--work-dir', type=Path, default=Path('work_dirs/retention_shapes'))
    parser.add_argument('--plot', metavar='FILE.png', help='draw the result')
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


def train(name: str, args: argparse.Namespace) -> Path:
    """Train and evaluate one run; returns its work dir."""
    segmenter, ann_file = (each.format(family=args.segmenter) for each in RUNS[name])
    data = f'{args.data.resolve()}/'
    work_dir = args.work_dir / f'{segmenter}_{Path(ann_file).stem}'
    options = [
        f'train_dataloader.dataset.ann_file={ann_file}',
        *(f'{each}_dataloader.dataset.data_root={data}' for each in ('train', 'val', 'test')),
        *(f'{each}_evaluator.ann_file={data}unseen_gt.json' for each in ('val', 'test')),
    ]
    config = ROOT / 'configs' / 'phase2' / f'sample_shapes_{segmenter}.py'
    command = [sys.executable, ROOT / 'tools' / 'train.py', config, '--work-dir', work_dir]
    subprocess.run(
        [*command, '--resume', '--cfg-options', *options, *args.cfg_options], check=True
    )
    return work_dir


def main() -> None:
    args = parse_args()
    if 'MAL' in args.runs and not (args.data / 'pseudo_masks.json').is_file():
        sys.exit(f'{args.data}/pseudo_masks.json does not exist; make it first, see --help')
    if 'box fill' in args.runs:
        write_box_fill(args.data / 'train.json', args.data / 'box_fill.json')
    dirs = {name: train(name, args) for name in args.runs}
    if not {'GT', 'MAL'} <= dirs.keys():
        return
    gt, mal = dirs.pop('GT'), dirs.pop('MAL')
    command = [sys.executable, ROOT / 'tools' / 'retention.py', gt, mal]
    command += [f'{name}={folder}' for name, folder in dirs.items()]
    subprocess.run([*command, *(['--plot', args.plot] if args.plot else [])], check=True)


if __name__ == '__main__':
    main()
