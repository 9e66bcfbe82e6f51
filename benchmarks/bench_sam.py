"""Masks per second of the instant labeler beside Segment Anything, on the same images and boxes.

Both get procedural 640 x 480 JPEGs of 7 boxes each and end with an RLE for every box; decoding is
included. SAM is transformers' SamModel as its users run it: one look at the image of 1024 x 1024,
then all of its boxes as prompts. Weights are random, since the cost does not depend on them: this
says nothing about how good the masks are.

    python benchmarks/bench_sam.py
    python benchmarks/bench_sam.py --sam base --images 4 --precisions fp32
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable
from pathlib import Path

import common  # first: it sets the threads, which libraries read when they are loaded
import numpy as np
import torch
from bench_instant import make_engine
from PIL import Image
from pycocotools import mask as mask_utils

from mal_mm.labeling.image_io import read_image

# encoders of the published checkpoints
SIZES = {
    'base': dict(hidden_size=768, num_hidden_layers=12, num_attention_heads=12),
    'large': dict(
        hidden_size=1024,
        num_hidden_layers=24,
        num_attention_heads=16,
        global_attn_indexes=[5, 11, 17, 23],
    ),
    'huge': dict(
        hidden_size=1280,
        num_hidden_layers=32,
        num_attention_heads=16,
        global_attn_indexes=[7, 15, 23, 31],
    ),
    # for tests
    'tiny': dict(
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=1,
        global_attn_indexes=[0],
        output_channels=256,
    ),
}
DTYPES = {'fp32': torch.float32, 'bf16': torch.bfloat16}


def make_sam(size: str, precision: str) -> Callable[[Path, np.ndarray], list[dict]]:
    """A function that draws masks of one image's boxes (n, 4) xyxy."""
    from transformers import SamConfig, SamImageProcessor, SamModel, SamProcessor

    config = SamConfig(vision_config=SIZES[size])
    model = SamModel(config).eval().to(DTYPES[precision])
    processor = SamProcessor(SamImageProcessor())

    @torch.inference_mode()
    def draw(path: Path, boxes: np.ndarray) -> list[dict]:
        image = Image.open(path).convert('RGB')
        inputs = processor(image, input_boxes=[boxes.tolist()], return_tensors='pt')
        output = model(
            pixel_values=inputs['pixel_values'].to(model.dtype),
            input_boxes=inputs['input_boxes'].to(model.dtype),
            multimask_output=False,
        )
        (masks,) = processor.image_processor.post_process_masks(
            output.pred_masks.float(), inputs['original_sizes'], inputs['reshaped_input_sizes']
        )
        return [mask_utils.encode(np.asfortranarray(mask[0].numpy(), np.uint8)) for mask in masks]

    return draw


def make_instant(precision: str) -> Callable[[Path, np.ndarray], list[dict]]:
    """The same with the instant labeler of ViT-S, at 224 px."""
    engine = make_engine(precision)

    def draw(path: Path, boxes: np.ndarray) -> list[dict]:
        return [mask.rle for mask in engine.label(engine.make_crops(read_image(path), boxes))]

    return draw


def main() -> None:
    args = parse_args()
    common.set_clock(args.clock)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ann_file, _ = common.write_coco(folder, args.images, 7, args.seed)
        data = json.loads(ann_file.read_text())
        boxes = {image['file_name']: [] for image in data['images']}
        for annotation in data['annotations']:
            x, y, w, h = annotation['bbox']
            file_name = data['images'][annotation['image_id'] - 1]['file_name']
            boxes[file_name].append([x, y, x + w, y + h])

        drawers = {
            f'{title}, {precision}': make(precision)
            for precision in args.precisions
            for title, make in {
                'instant labeler, ViT-S, 224 px': make_instant,
                **{f'SAM {size}': lambda p, size=size: make_sam(size, p) for size in args.sam},
            }.items()
        }

        def all_images(draw: Callable) -> int:
            return sum(len(draw(folder / name, np.array(each))) for name, each in boxes.items())

        torch.manual_seed(args.seed)
        timings = common.time_in_turn(
            {title: (lambda draw=draw: all_images(draw)) for title, draw in drawers.items()},
            args.rounds,
            warmup=args.warmup,
        )
    print(common.machine())
    print(f'{args.images} images of 640 x 480, 7 boxes each; decode to RLE, {args.clock} clock')
    first = next(iter(timings.values()))
    for title, timing in timings.items():
        speed = timing.result / timing.best
        print(f'  {title:38} {speed:9.3f} masks/s  {timing.best / first.best:8.1f} x the time')


def parse_args() -> argparse.Namespace:
    parser = common.make_parser(__doc__)
    parser.add_argument(
        '--sam', nargs='*', choices=SIZES, default=['base', 'huge'], help='(default: base huge)'
    )
    parser.add_argument(
        '--precisions', nargs='+', choices=DTYPES, default=list(DTYPES), help='(default: both)'
    )
    parser.add_argument('--images', type=int, default=2, help='of 7 boxes each (default: 2)')
    parser.add_argument('--rounds', type=int, default=1, help='the best counts (default: 1)')
    parser.add_argument('--warmup', type=int, default=1, help='rounds before (default: 1)')
    return parser.parse_args()


if __name__ == '__main__':
    main()
