"""Labeling from JPEG files to the annotation file: the trained and the instant labeler."""

from __future__ import annotations

import json
import os
import tempfile
import time
from pathlib import Path

import common
import torch
from mmdet.registry import MODELS
from mmengine.config import Config
from training_step import labeler_config

from mal_mm.apis import MaskLabeler
from mal_mm.labeling import LabelingJob

from . import Row, Size

BOXES = 7  # in an image, as in COCO


def trained(device: str, size: Size) -> list[Row]:
    """ViT-B with random weights, whose masks at 0.5 are noise, costlier to encode than masks."""
    cfg = labeler_config('mal/vit_mae_base.py', size.tiny)
    cfg.model.test_cfg.update(crop_size=size.crop, mask_threshold=0.5)
    what = f'ViT-B {size.crop} px, files to file'
    return _masks_per_second(cfg, device, size, what, goal=('>=', 1000))


def instant(device: str, size: Size) -> list[Row]:
    """The instant labeler with ViT-S, random weights; GrabCut runs on the CPU's cores."""
    cfg = labeler_config('mal/instant_dinov2_small.py', size.tiny)
    cfg.model.test_cfg.crop_size = size.instant_crop
    what = f'instant, ViT-S {size.instant_crop} px, files to file'
    return _masks_per_second(cfg, device, size, what)


def _masks_per_second(
    cfg: Config, device: str, size: Size, what: str, goal: tuple[str, float] | None = None
) -> list[Row]:
    labeler = _build(cfg, device)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ann = _write_images(folder, size.images)
        if not size.tiny:
            _label(labeler, ann, folder)  # warms up kernels and the file cache
        start = time.perf_counter()
        _label(labeler, ann, folder)
        seconds = time.perf_counter() - start
    masks = size.images * BOXES
    return [Row(what, masks / seconds, 'masks/s', f'{masks} masks in {seconds:.2f} s', goal)]


def _build(cfg: Config, device: str) -> MaskLabeler:
    # an instant labeler refuses to draw without weights: here only its time counts
    torch.manual_seed(0)
    if cfg.model.type != 'InstantLabeler':
        return MaskLabeler(cfg, device=device)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, 'random.pth')
        torch.save(MODELS.build(cfg.model).encoder.state_dict(), path)
        cfg.model.encoder.init_cfg = dict(type='Pretrained', checkpoint=str(path))
        return MaskLabeler(cfg, device=device)


def _write_images(folder: Path, images: int, drawn: int = 40) -> Path:
    """`images` JPEGs of 640 x 480 with boxes; beyond `drawn` they are copies, for time's sake."""
    drawn = min(images, drawn)
    ann, _ = common.write_coco(folder, drawn, BOXES, seed=0)
    data = json.loads(ann.read_text())
    first_images, first_boxes = data['images'], data['annotations']
    for image_id in range(drawn + 1, images + 1):
        source = first_images[(image_id - 1) % drawn]
        name = f'{image_id:06d}.jpg'
        (folder / name).write_bytes((folder / source['file_name']).read_bytes())
        data['images'].append({**source, 'id': image_id, 'file_name': name})
        data['annotations'] += [
            {**box, 'id': len(first_boxes) + image_id * BOXES + number, 'image_id': image_id}
            for number, box in enumerate(
                box for box in first_boxes[: drawn * BOXES] if box['image_id'] == source['id']
            )
        ]
    ann.write_text(json.dumps(data))
    return ann


def _label(labeler: MaskLabeler, ann: Path, folder: Path) -> None:
    out = folder / 'masks.json'
    threads = max(os.cpu_count() or 1, 2)
    LabelingJob(ann, out, folder, labeler.engine, {}, num_threads=threads).run()
    out.unlink()
