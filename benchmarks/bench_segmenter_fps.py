#!/usr/bin/env python
"""Images per second of segmenters at batch size 1, averaged over a whole set of images.

As Mask DINO's supplement (App. B.1) measures Mask2Former and Mask DINO. Timed are data
preprocessor, network and post-processing; reading and resizing images is not. All configs see
each image in turn, so that a busy spell meets them all. Prints the mean time of an image, images
per second and ratios.

    python benchmarks/bench_segmenter_fps.py --device cuda                    # on COCO val2017
    python benchmarks/bench_segmenter_fps.py --images FOLDER --max-images 200
    python benchmarks/bench_segmenter_fps.py --drawn 4 --scale 667 400        # on a CPU
    python benchmarks/bench_segmenter_fps.py CONFIG CONFIG --checkpoints FILE FILE

Without checkpoints weights are random. Both models then still rank all queries and give 100
instances an image, so that the time hardly depends on them.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import common  # first: it sets the threads, which libraries read when they are loaded
import numpy as np
import torch
from mmdet.registry import DATASETS, MODELS, TRANSFORMS
from mmengine.config import Config
from mmengine.dataset import Compose, pseudo_collate
from mmengine.logging import MMLogger
from mmengine.registry import init_default_scope
from mmengine.runner import load_checkpoint
from PIL import Image
from torch import nn

from mal_mm.compat.config_bases import find_config

CONFIGS = [
    'mmdet::mask2former/mask2former_r50_8xb2-lsj-50e_coco.py',
    'mal_mm::maskdino/maskdino_r50-hid1024_lsj-50e_coco.py',
    'mal_mm::maskdino/maskdino_r50-hid2048_lsj-50e_coco.py',
]
SUFFIXES = {'.jpg', '.jpeg', '.png', '.bmp', '.webp', '.tif', '.tiff'}


def read_config(name: str) -> Config:
    """A file, or one of mmdet or mal_mm as 'mmdet::FOLDER/NAME.py'."""
    if name.startswith('mmdet::'):
        from mmengine.hub import get_config

        return get_config(name)
    return Config.fromfile(find_config(name))


def build_model(cfg: Config, checkpoint: str | None, device: str) -> nn.Module:
    """In evaluation mode, with random weights where there is no checkpoint."""
    backbone = cfg.model.get('backbone')
    if backbone is not None:
        backbone.init_cfg = None
    model = MODELS.build(cfg.model)
    if checkpoint is None:
        model.init_weights()
    else:
        load_checkpoint(model, checkpoint, map_location='cpu', strict=True)
    return model.to(device).eval()


def test_pipeline(cfg: Config, scale: list[int] | None) -> list[dict]:
    """That of the config, resizing to `scale` (long, short side) where given."""
    pipeline = cfg.test_dataloader.dataset.pipeline
    for step in pipeline:
        if scale and step['type'] == 'Resize':
            step['scale'] = tuple(scale)
    return pipeline


def samples_of_folder(paths: list[Path], pipeline: list[dict]) -> Iterator[Callable[[], dict]]:
    """What reads each image of a folder as the config's pipeline would, without annotations."""
    steps = [step for step in pipeline if 'Annotations' not in step['type']]
    transforms = Compose([TRANSFORMS.build(step) for step in steps])
    for number, path in enumerate(paths):
        yield lambda number=number, path=path: transforms(dict(img_path=str(path), img_id=number))


def samples_of_set(cfg: Config) -> Iterator[Callable[[], dict]]:
    """What reads each image of the config's test set."""
    try:
        dataset = DATASETS.build(cfg.test_dataloader.dataset)
    except FileNotFoundError as error:
        raise SystemExit(f'{error}; or give --images FOLDER, or --drawn N') from error
    for number in range(len(dataset)):
        yield lambda number=number: dataset[number]


def find_images(folder: Path) -> list[Path]:
    """Image files in a folder and those below it, by name."""
    paths = sorted(path for path in folder.rglob('*') if path.suffix.lower() in SUFFIXES)
    if not paths:
        raise SystemExit(
            f'there is no image in {folder}; looked for {", ".join(sorted(SUFFIXES))}'
        )
    return paths


def draw_images(folder: Path, number: int, seed: int) -> list[Path]:
    """`number` pictures of 640 x 480."""
    rng = np.random.default_rng(seed)
    paths = [folder / f'{i:04}.png' for i in range(number)]
    for path in paths:
        Image.fromarray(common.make_picture(rng)).save(path)
    return paths


@torch.no_grad()
def predict_seconds(model: nn.Module, sample: dict, device: str) -> float:
    """How long one image takes."""
    batch = pseudo_collate([sample])
    on_gpu = torch.device(device).type == 'cuda'
    if on_gpu:
        torch.cuda.synchronize()
    start = common.now()
    model.test_step(batch)
    if on_gpu:
        torch.cuda.synchronize()
    return common.now() - start


def measure(
    models: dict[str, nn.Module],
    samples: dict[str, Iterator[Callable[[], dict]]],
    device: str,
    warmup: int,
    max_images: int | None,
) -> dict[str, list[float]]:
    """Seconds of each image, for each model; the first image also warms up."""
    seconds: dict[str, list[float]] = {name: [] for name in models}
    for number, readers in enumerate(zip(*samples.values(), strict=True)):
        if number == max_images:
            break
        for (name, model), read in zip(models.items(), readers, strict=True):
            sample = read()
            for _ in range(warmup if number == 0 else 0):
                predict_seconds(model, sample, device)
            seconds[name].append(predict_seconds(model, sample, device))
    return seconds


def parse_args() -> argparse.Namespace:
    parser = common.make_parser(__doc__)
    parser.add_argument('configs', nargs='*', default=CONFIGS, help='files or mmdet::NAME')
    parser.add_argument('--checkpoints', nargs='+', help='one for each config')
    images = parser.add_mutually_exclusive_group()
    images.add_argument('--images', type=Path, help="folder (default: each config's test set)")
    images.add_argument('--drawn', type=int, metavar='N', help='draw N pictures of 640 x 480')
    parser.add_argument('--max-images', type=int, help='stop after so many (default: all)')
    parser.add_argument('--warmup', type=int, default=1, help='of each model (default: 1)')
    parser.add_argument(
        '--scale', type=int, nargs=2, metavar=('LONG', 'SHORT'), help='sides to resize to'
    )
    parser.add_argument('--device', default='cpu', help='cpu, cuda, ... (default: cpu)')
    args = parser.parse_args()
    if args.checkpoints and len(args.checkpoints) != len(args.configs):
        parser.error(f'{len(args.configs)} configs, but {len(args.checkpoints)} --checkpoints')
    return args


def main() -> None:
    args = parse_args()
    on_cpu = torch.device(args.device).type == 'cpu'
    init_default_scope('mmdet')
    MMLogger.get_instance('benchmark', log_level='ERROR')  # mmengine names every parameter
    common.set_clock(args.clock if on_cpu else 'wall')
    torch.manual_seed(args.seed)
    with tempfile.TemporaryDirectory() as scratch:
        paths = None
        if args.images is not None:
            paths = find_images(args.images)
        elif args.drawn is not None:
            paths = draw_images(Path(scratch), args.drawn, args.seed)
        models, samples = {}, {}
        for number, config in enumerate(args.configs):
            cfg = read_config(config)
            name = f'{number + 1} {Path(config).stem}'
            models[name] = build_model(
                cfg, args.checkpoints[number] if args.checkpoints else None, args.device
            )
            pipeline = test_pipeline(cfg, args.scale)
            samples[name] = (
                samples_of_set(cfg) if paths is None else samples_of_folder(paths, pipeline)
            )
        seconds = measure(models, samples, args.device, args.warmup, args.max_images)

    print(common.machine(args.device))
    first = statistics.fmean(next(iter(seconds.values())))
    for name, runs in seconds.items():
        mean = statistics.fmean(runs)
        millions = sum(parameter.numel() for parameter in models[name].parameters()) / 1e6
        print(
            f'{name:<44} {millions:6.1f} M {len(runs):5} images {mean:8.3f} s an image '
            f'(median {statistics.median(runs):.3f}) {1 / mean:7.2f} fps {mean / first:5.2f} x'
        )


if __name__ == '__main__':
    main()
