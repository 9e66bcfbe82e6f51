"""Labeling a file of boxes: the instant labeler, and all but the network."""

from __future__ import annotations

import math
import tempfile
from pathlib import Path

import bench_instant
import bench_labeling
import common
from mmdet.registry import MODELS
from mmengine.config import Config
from training_step import TINY_ARCH

from mal_mm.apis import MaskLabeler
from mal_mm.compat.config_bases import config_path
from mal_mm.labeling import LabelingEngine, LabelingJob

from . import Stage, Table
from .flops import count_flops

BOXES = 7  # in an image, as in COCO


def instant(boxes: int, tiny: bool, weights: Path | None) -> Table:
    """The instant labeler with DINOv2 ViT-S at 224 px."""
    cfg = Config.fromfile(config_path('mal/instant_dinov2_small.py'))
    encoder = cfg.model.encoder
    encoder.init_cfg = dict(type='Pretrained', checkpoint=str(weights)) if weights else None
    if tiny:
        encoder.arch = dict(TINY_ARCH)
        cfg.model.test_cfg.crop_size = 56
    # as built: MaskLabeler and `init_weights` refuse random weights, whose cost is the same
    model = MODELS.build(cfg.model).eval()
    if weights:
        model.init_weights()
    engine = LabelingEngine(model, **model.test_cfg)
    title = 'instant labeler, DINOv2 ViT-S'
    return _label(title, engine, boxes, bench_instant.STAGES)


def host(boxes: int, tiny: bool) -> Table:
    """A trained labeler at 512 px whose network is tiny: what is left is the work around it."""
    labeler = MaskLabeler(bench_labeling.tiny_config(64 if tiny else 512), device='cpu')
    network = labeler.model.teacher
    places = (
        *bench_labeling.HOST_STAGES,
        *bench_labeling.DEVICE_STAGES,
        (labeler.model.data_preprocessor, 'normalise', 'normalise'),
        (network, 'encode', 'network (tiny)'),
        (network, 'decode', 'network (tiny)'),
    )
    return _label('trained labeler, tiny network', labeler.engine, boxes, places)


def _label(title: str, engine: LabelingEngine, boxes: int, places: tuple) -> Table:
    images = math.ceil(boxes / BOXES)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ann, _ = common.write_coco(folder, images, BOXES, seed=0)
        one, _ = common.write_coco(_made(folder / 'one'), 1, BOXES, seed=0)
        works = count_flops(lambda: _run(engine, one), places)  # warms up, too
        stages = common.Stages()
        with stages.watch(places):
            start = common.now()
            _run(engine, ann)
            total = common.now() - start
    names = dict.fromkeys(stage for _, _, stage in places)
    lines = [
        Stage(name, stages.total(name), works[name].flops * images, bf16=works[name].bf16)
        for name in names
    ]
    lines = [line for line in lines if line.seconds]
    size = engine.crop_size
    return Table(f'Labeling {images * BOXES} boxes, {title}, {size} px', total, lines)


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _run(engine: LabelingEngine, ann: Path) -> None:
    out = ann.with_name('masks.json')
    LabelingJob(ann, out, ann.parent, engine, {}, num_threads=1).run()
    out.unlink()
