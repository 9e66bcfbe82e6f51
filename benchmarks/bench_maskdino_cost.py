"""Training cost of Mask DINO beside MMDetection's Mask2Former, both with a ResNet-50.

Both learn the same random pictures with the same objects, from their own configs (weights at
random), in turn: forward, losses, backward, clipping and AdamW. Prints iterations per second,
peak memory (on a GPU: weights and optimiser state included) and the ratios.

    python benchmarks/bench_maskdino_cost.py --device cuda         # 1024 x 1024, batch 2
    python benchmarks/bench_maskdino_cost.py --device cuda --amp   # both in mixed precision
    python benchmarks/bench_maskdino_cost.py --size 128 --rounds 3 # on a CPU
"""

from __future__ import annotations

import argparse

import common  # first: it sets the threads, which libraries read when they are loaded
import numpy as np
import torch
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmdet.structures.mask import BitmapMasks
from mmengine.config import Config
from mmengine.hub import get_config
from mmengine.logging import MMLogger
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope
from mmengine.structures import InstanceData

from mal_mm import config_path
from mal_mm.compat.cpu_precision import fall_back_to_fp32

MASK2FORMER = 'mmdet::mask2former/mask2former_r50_8xb2-lsj-50e_coco.py'
MASKDINO = 'maskdino/maskdino_r50-{}_lsj-50e_coco.py'


class Training:
    """One model and what a training step of it takes."""

    def __init__(self, cfg: Config, batch: dict, args: argparse.Namespace) -> None:
        before = _allocated(args.device)
        cfg.model.backbone.init_cfg = None
        for step in cfg.model.data_preprocessor.batch_augments:
            step.size = (args.size, args.size)
        cfg.optim_wrapper.type = 'AmpOptimWrapper' if args.amp else 'OptimWrapper'
        cfg.optim_wrapper.pop('loss_scale', None)
        fall_back_to_fp32(cfg)
        torch.manual_seed(args.seed)
        self.device = args.device
        self.batch = batch
        self.model = MODELS.build(cfg.model)
        self.model.init_weights()
        self.model.to(args.device).train()
        self.optim_wrapper = build_optim_wrapper(self.model, cfg.optim_wrapper)
        self.peak = 0
        self.step()  # gradients and optimiser state exist from now on
        self.resident = _allocated(args.device) - before

    def step(self) -> None:
        """One training step; `peak` is the memory that this model alone would take."""
        others = _allocated(self.device) - getattr(self, 'resident', 0)
        on_gpu = torch.device(self.device).type == 'cuda'
        if on_gpu:
            torch.cuda.reset_peak_memory_stats()
        # a copy: the data preprocessor pads the masks in place
        samples = [sample.clone() for sample in self.batch['data_samples']]
        self.model.train_step(dict(self.batch, data_samples=samples), self.optim_wrapper)
        if on_gpu:
            torch.cuda.synchronize()
            if hasattr(self, 'resident'):
                self.peak = max(self.peak, torch.cuda.max_memory_allocated() - others)

    @property
    def num_params(self) -> int:
        return sum(parameter.numel() for parameter in self.model.parameters())


def _allocated(device: str) -> int:
    return torch.cuda.memory_allocated() if torch.device(device).type == 'cuda' else 0


def make_batch(batch: int, size: int, objects: int, seed: int) -> dict:
    """Pictures with ellipses in random boxes, as a data loader gives them."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:size, :size] + 0.5
    inputs, samples = [], []
    for _ in range(batch):
        sides = rng.uniform(size / 16, size / 2, (objects, 2))
        corners = rng.uniform(0, size - sides)
        boxes = np.concatenate([corners, corners + sides], 1)
        masks = np.stack(
            [
                ((2 * x - x0 - x1) / (x1 - x0)) ** 2 + ((2 * y - y0 - y1) / (y1 - y0)) ** 2 < 1
                for x0, y0, x1, y1 in boxes
            ]
        )
        sample = DetDataSample(metainfo=dict(img_shape=(size, size), ori_shape=(size, size)))
        sample.gt_instances = InstanceData(
            bboxes=torch.from_numpy(boxes).float(),
            labels=torch.from_numpy(rng.integers(80, size=objects)),
            masks=BitmapMasks(masks.astype(np.uint8), size, size),
        )
        samples.append(sample)
        picture = common.make_picture(rng, size, size).transpose(2, 0, 1)
        inputs.append(torch.from_numpy(np.ascontiguousarray(picture)))
    return dict(inputs=inputs, data_samples=samples)


def parse_args() -> argparse.Namespace:
    parser = common.make_parser(__doc__)
    parser.add_argument(
        '--maskdino',
        nargs='+',
        choices=['hid1024', 'hid2048'],
        default=['hid1024', 'hid2048'],
        help='variants of the encoder (default: both)',
    )
    parser.add_argument('--size', type=int, default=1024, help='of the images (default: 1024)')
    parser.add_argument('--batch', type=int, default=2, help='images (default: 2)')
    parser.add_argument('--objects', type=int, default=7, help='in each (default: 7, as in COCO)')
    parser.add_argument('--rounds', type=int, default=10, help='steps of each (default: 10)')
    parser.add_argument('--amp', action='store_true', help='mixed precision (GPU)')
    parser.add_argument('--device', default='cpu', help='cpu, cuda, ... (default: cpu)')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    on_cpu = torch.device(args.device).type == 'cpu'
    init_default_scope('mmdet')
    MMLogger.get_instance('benchmark', log_level='ERROR')  # mmengine names every parameter
    common.set_clock(args.clock if on_cpu else 'wall')
    batch = make_batch(args.batch, args.size, args.objects, args.seed)
    configs = {'Mask2Former R50': get_config(MASK2FORMER)}
    for variant in args.maskdino:
        path = config_path(MASKDINO.format(variant))
        configs[f'Mask DINO R50 {variant}'] = Config.fromfile(path)
    runs = {name: Training(cfg, batch, args) for name, cfg in configs.items()}

    print(common.machine(args.device))
    print(
        f'batch {args.batch}, {args.size} x {args.size}, {args.objects} objects an image, '
        f'{"mixed precision" if args.amp else "fp32"}; median (best) of {args.rounds} steps'
    )
    timings = common.time_in_turn(
        {name: run.step for name, run in runs.items()}, args.rounds, warmup=0 if on_cpu else 3
    )
    first, *_ = timings.values()
    memory_of_first, *_ = (run.peak for run in runs.values())
    for name, timing in timings.items():
        run = runs[name]
        line = (
            f'{name:<22} {run.num_params / 1e6:5.1f} M {common.seconds(timing)} an iteration, '
            f'{1 / timing.median:6.2f} it/s, {timing.median / first.median:5.2f} x'
        )
        if not on_cpu:
            line += f'; {run.peak / 2**30:5.2f} GiB, {run.peak / memory_of_first:4.2f} x'
        print(line)


if __name__ == '__main__':
    main()
