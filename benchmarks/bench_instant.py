"""The instant labeler, a box, all included: decode, crop, encode, vote, colours, RLE, files.

Labels procedural 640 x 480 JPEGs of 7 boxes each the way tools/generate_pseudo_masks.py does, with
the encoder in float32 and in bfloat16, in turn, on one CPU thread. The cost does not depend on the
weights: without --weights they are random.

    python benchmarks/bench_instant.py
    python benchmarks/bench_instant.py --crop-size 336 --weights ~/.cache/mal_mm
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import common  # first: it sets the threads, which libraries read when they are loaded
import torch
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.logging import MMLogger

import mal_mm.instant.stages as stages_module
import mal_mm.labeling.engine as engine_module
import mal_mm.labeling.portion_labeler as portion_module
from mal_mm.apis import MaskLabeler
from mal_mm.compat.config_bases import config_path
from mal_mm.labeling import LabelingEngine, LabelingJob
from mal_mm.models import instant_labeler as model_module
from mal_mm.precision import gains_by_half
from mal_mm_runtime import engine as mask_engine_module

STAGES = (
    (portion_module, 'read_stamped', 'decode'),
    (engine_module, 'crop_window', 'crop'),
    (model_module.InstantLabeler, 'encode', 'encoder'),
    (model_module, 'vote_and_walk', 'vote and walk'),
    (stages_module, 'colour_cut', 'GrabCut'),
    (stages_module, 'colour_field', 'colour field'),
    (mask_engine_module, 'carve_holes_on_crop', 'holes'),
    (engine_module, 'mask_quality', 'quality'),
)


def parse_args() -> argparse.Namespace:
    parser = common.make_parser(__doc__)
    parser.add_argument('--images', type=int, default=4, help='of 7 boxes each (default: 4)')
    parser.add_argument('--crop-size', type=int, default=224, help='in pixels (default: 224)')
    parser.add_argument('--rounds', type=int, default=3, help='the median counts (default: 3)')
    parser.add_argument('--weights', type=Path, metavar='DIR', help='folder of the weights')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    common.set_clock(args.clock)
    MMLogger.get_instance('benchmark', log_level='WARNING')
    torch.manual_seed(args.seed)
    stages = common.Stages()
    with tempfile.TemporaryDirectory() as name, stages.watch(STAGES):
        folder = Path(name)
        ann, size = common.write_coco(folder, args.images, 7, args.seed)
        boxes = 7 * args.images
        engines = {p: make_engine(p, args.crop_size, args.weights) for p in ('fp32', 'bf16')}

        def work(precision: str) -> dict[str, float]:
            stages.reset()
            label(engines[precision], ann, folder)
            return {title: stages.total(title) for _, _, title in STAGES}

        timings = common.time_in_turn(
            {p: (lambda p=p: work(p)) for p in engines}, args.rounds, warmup=1
        )
    print(f'{common.machine()}; crops of {args.crop_size} px, JPEGs of {size // 1000} kB')
    gains = gains_by_half(engines['fp32'].labeler.data_preprocessor.device)
    print(f'`auto` takes {"bf16" if gains else "fp32"} here')
    for precision, timing in timings.items():
        spent = {title: 1000 * s / boxes for title, s in timing.result.items()}
        whole = 1000 * timing.median / boxes
        print(f'{precision}: {whole:.0f} ms a box (best {1000 * timing.best / boxes:.0f})')
        for title, milliseconds in spent.items():
            print(f'  {title:14} {milliseconds:7.1f} ms')
        print(f'  {"the rest":14} {whole - sum(spent.values()):7.1f} ms')


def make_engine(
    precision: str, crop_size: int = 224, weights: Path | None = None
) -> LabelingEngine:
    """The instant labeler's, with random weights where none are named."""
    config = Config.fromfile(config_path('mal/instant_dinov2_small.py'))
    config.model.precision = precision
    if weights is not None:
        return MaskLabeler(config, device='cpu', crop_size=crop_size, weights=weights).engine
    # as built: MaskLabeler and `init_weights` refuse random weights
    config.model.encoder.init_cfg = None
    model = MODELS.build(config.model).eval()
    return LabelingEngine(model, **{**model.test_cfg, 'crop_size': crop_size})


def label(engine: LabelingEngine, ann: Path, folder: Path) -> None:
    out = folder / 'out.json'
    LabelingJob(ann, out, folder, engine, {}, num_threads=1).run()
    out.unlink()


if __name__ == '__main__':
    main()
