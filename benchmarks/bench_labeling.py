"""Labeling without the network: decode, crop, paste, RLE and write, a box.

Labels procedural 640 x 480 JPEGs of 7 boxes each the way tools/generate_pseudo_masks.py does,
with a tiny network whose own time is taken out, and the same boxes with a plain pipeline, box by
box: decode the image, cut out and resize, paste the probabilities into a full-image float array,
threshold, encode. Both run on one CPU thread, in turn; each one's best round counts.

    python benchmarks/bench_labeling.py
    python benchmarks/bench_labeling.py --exact-crops
    python benchmarks/bench_labeling.py --crop-size 224
"""

from __future__ import annotations

import argparse
import copy
import json
import tempfile
from pathlib import Path

import common  # first: it sets the threads, which libraries read when they are loaded
import numpy as np
import torch
import torch.nn.functional as F
from mmengine.config import Config
from mmengine.logging import MMLogger
from PIL import Image
from pycocotools import mask as mask_utils

import mal_mm.labeling.engine as engine_module
import mal_mm.labeling.job as job_module
import mal_mm.labeling.portion_labeler as portion_module
import mal_mm_runtime.engine as mask_engine_module
from mal_mm.apis import MaskLabeler
from mal_mm.formats.coco import read_coco
from mal_mm.geometry import box_to_crop, expand_fixed
from mal_mm.labeling import LabelingEngine, LabelingJob
from mal_mm_runtime.box_clip import RELEASED, clip_to_box

# What labeling calls, in order: (module or object, function, name in the table).
HOST_STAGES = (
    (portion_module, 'read_stamped', 'decode'),
    (engine_module, 'crop_window', 'crop'),
    (mask_engine_module, 'box_to_crop', 'box mask'),
    (mask_engine_module.MaskEngine, '_cut', 'threshold, clip'),
    (engine_module, 'encode_region', 'RLE'),
    (job_module.PartWriter, 'write', 'part files'),
    (job_module.LabelingJob, '_finish', 'JSON'),
)
# what a GPU does on a GPU, like the network itself
DEVICE_STAGES = (
    (engine_module, 'sample_windows', 'maps to pixels'),
    (engine_module, 'mask_quality', 'quality'),
)


def tiny_config(crop_size: int) -> Config:
    """A labeler whose network costs little; untrained, its masks are noise of every shape."""
    arch = dict(embed_dims=16, num_layers=1, num_heads=1, feedforward_channels=16)
    return Config(
        dict(
            custom_imports=dict(imports=['mal_mm']),
            default_scope='mmdet',
            model=dict(
                type='MaskAutoLabeler',
                network=dict(
                    type='MaskNetwork',
                    encoder=dict(type='ViTEncoder', arch=arch, img_size=crop_size, patch_size=16),
                    decoder=dict(type='AttentionDecoder', channels=8),
                ),
                test_cfg=dict(crop_size=crop_size, mask_threshold=0.5),
            ),
        )
    )


def label_plainly(engine: LabelingEngine, folder: Path, data: dict, network_seconds: list) -> None:
    """The plain pipeline, in place: everything anew for each box."""
    names = {image['id']: image['file_name'] for image in data['images']}
    labeler, S = engine.labeler, engine.crop_size
    for annotation in data['annotations']:
        image = np.asarray(Image.open(folder / names[annotation['image_id']]).convert('RGB'))
        height, width = image.shape[:2]
        x, y, w, h = annotation['bbox']
        box = np.array([x, y, x + w, y + h])
        window = expand_fixed(box, engine.margin)[0]
        x0, y0, x1, y1 = (int(v) for v in window)
        rows, columns = np.arange(y0, y1) % height, np.arange(x0, x1) % width
        crop = Image.fromarray(image[rows[:, None], columns]).resize((S, S), Image.BICUBIC)
        pixels = torch.from_numpy(np.array(crop)).permute(2, 0, 1)[None]
        images = labeler.data_preprocessor.normalise(pixels)

        start = common.now()
        with torch.no_grad():
            logits = labeler.teacher(images, torch.tensor([w * h])).float()
        network_seconds.append(common.now() - start)

        crop_box = box_to_crop(box, window, (height, width), S).astype(int)
        box_mask = torch.zeros(S, S)
        box_mask[crop_box[1] : crop_box[3], crop_box[0] : crop_box[2]] = 1
        resize = dict(mode='bilinear', align_corners=False)
        probs = F.interpolate(logits[:, None], (S, S), **resize).sigmoid() * box_mask
        on_window = F.interpolate(probs, (y1 - y0, x1 - x0), **resize)[0, 0].numpy()
        full = np.zeros((height, width), dtype=np.float32)
        top, left, bottom, right = max(y0, 0), max(x0, 0), min(y1, height), min(x1, width)
        full[top:bottom, left:right] = on_window[top - y0 : bottom - y0, left - x0 : right - x0]
        mask = full > engine.mask_threshold
        if engine.box_tolerance != RELEASED:
            mask = clip_to_box(mask, (0, 0), box, engine.box_tolerance)
        rle = mask_utils.encode(np.asfortranarray(mask.astype(np.uint8)))
        rle['counts'] = rle['counts'].decode()
        annotation['segmentation'], annotation['area'] = rle, int(mask.sum())


def main() -> None:
    args = parse_args()
    common.set_clock(args.clock)
    MMLogger.get_instance('benchmark', log_level='WARNING')
    torch.manual_seed(args.seed)
    labeler = MaskLabeler(
        tiny_config(args.crop_size),
        device='cpu',
        batch_size=args.batch_size,
        exact_crops=args.exact_crops,
    )
    labeler.model.init_weights()
    _spread_logits(labeler.model.teacher)
    engine = labeler.engine
    stages = common.Stages()
    network = labeler.model.teacher
    places = (
        *HOST_STAGES,
        *DEVICE_STAGES,
        (labeler.model.data_preprocessor, 'normalise', 'normalise'),
        (network, 'encode', 'network'),
        (network, 'decode', 'network'),
    )

    ours: list[dict[str, float]] = []
    theirs: list[float] = []
    with tempfile.TemporaryDirectory() as name, stages.watch(places):
        folder = Path(name)
        ann_file, size = common.write_coco(folder, args.images, 7, args.seed)
        for _ in range(args.rounds + 1):
            stages.reset()
            start = common.now()
            LabelingJob(ann_file, folder / 'masks.json', folder, engine, {}, num_threads=1).run()
            ours.append({stage: stages.total(stage) for stage in stages.spent})
            ours[-1]['together'] = common.now() - start - ours[-1]['network']

            plain = _first_images(read_coco(ann_file), args.plain_images)
            network_seconds: list[float] = []
            start = common.now()
            label_plainly(engine, folder, plain, network_seconds)
            (folder / 'plain.json').write_text(json.dumps(plain))
            theirs.append(common.now() - start - sum(network_seconds))
        written = read_coco(folder / 'masks.json')['annotations']

    boxes, plain_boxes = len(written), len(plain['annotations'])
    best = min(ours[1:], key=lambda spent: spent['together'])  # the first round warms up
    ms = {stage: spent * 1000 / boxes for stage, spent in best.items()}
    host = {stage: ms[stage] for _, _, stage in HOST_STAGES}
    device = {stage: ms[stage] for stage in ('normalise', *(s for _, _, s in DEVICE_STAGES))}
    if args.clock == 'cpu':  # elapsed times of stages overlap, they do not add up
        host['batches, thresholds, the rest'] = (
            ms['together'] - sum(host.values()) - sum(device.values())
        )
    plain_ms = min(theirs[1:]) * 1000 / plain_boxes

    print(common.machine())
    print(
        f'{boxes} boxes in {args.images} images of 640 x 480 ({size / 1000:.0f} kB each), '
        f'{"exact " if args.exact_crops else ""}crops of {args.crop_size}; '
        f'ms a box, {args.clock} clock, best of {args.rounds} rounds'
    )
    for title, table in (('images, crops, masks, files', host), ('around the network', device)):
        print(f'  {title:<32} {sum(table.values()):7.2f}')
        for stage, spent in table.items():
            print(f'    {stage:<30} {spent:7.2f}')
    print(f'  together                         {ms["together"]:7.2f}')
    print(f'  plain pipeline                   {plain_ms:7.2f}  ({plain_boxes} boxes)')
    print(f'  ratio                            {plain_ms / ms["together"]:7.1f} x')
    print(f'  (the tiny network, not counted   {ms["network"]:7.2f})')
    print(f'  IoU of the masks of both, lowest {_lowest_iou(written, plain["annotations"]):9.4f}')


def _spread_logits(network: torch.nn.Module) -> None:
    # an untrained network answers 0.5 everywhere: scale its last features until masks have shapes
    for parameter in network.decoder.parameters():
        parameter.data.mul_(2)


def _first_images(data: dict, count: int) -> dict:
    images = data['images'][:count]
    wanted = {image['id'] for image in images}
    return {
        **data,
        'images': images,
        'annotations': [copy.deepcopy(a) for a in data['annotations'] if a['image_id'] in wanted],
    }


def _lowest_iou(ours: list[dict], plain: list[dict]) -> float:
    pairs = (
        (mine['segmentation'], other['segmentation'])
        for mine, other in zip(ours, plain, strict=False)
        if other['area']
    )
    return min(float(mask_utils.iou([a], [b], [0])[0, 0]) for a, b in pairs)


def parse_args() -> argparse.Namespace:
    parser = common.make_parser(__doc__)
    parser.add_argument('--images', type=int, default=40, help='pictures (default: 40)')
    parser.add_argument(
        '--plain-images', type=int, default=20, help='of these for the plain one (default: 20)'
    )
    parser.add_argument('--rounds', type=int, default=5, help='after one to warm up (default: 5)')
    parser.add_argument('--exact-crops', action='store_true', help="Pillow's resize")
    parser.add_argument('--crop-size', type=int, default=512, help='(default: 512)')
    parser.add_argument('--batch-size', type=int, default=16, help='(default: 16)')
    return parser.parse_args()


if __name__ == '__main__':
    main()
