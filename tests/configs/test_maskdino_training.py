"""Mask DINO's recipes train and evaluate each task, at small size."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from mmdet.datasets import CocoPanopticDataset
from mmengine.config import Config
from panopticapi.utils import id2rgb
from pycocotools import mask as coco_mask

from mal_mm.launcher import build_runner
from mal_mm.phase2.mask_file_check import check_mask_file

SIDE = 96  # 2 x 2 cells at stride 64, GroupNorm does not take a single one
META = CocoPanopticDataset.METAINFO


def write_image(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), pixels[..., ::-1] if pixels.ndim == 3 else pixels)


@pytest.fixture(scope='module')
def data_root(tmp_path_factory) -> Path:
    """`data/` as the recipes want it, two images in each split: a car and a person before the sky.

    Masks of instances are RLE, the first column is void.
    """
    root = tmp_path_factory.mktemp('maskdino')
    rng = np.random.default_rng(0)
    car, person, sky = (META['classes'].index(n) for n in ('car', 'person', 'sky-other-merged'))
    categories = [
        dict(id=number + 1, name=name, isthing=int(name in META['thing_classes']))
        for number, name in enumerate(META['classes'])
    ]
    coco, ade = root / 'data' / 'coco', root / 'data' / 'ADEChallengeData2016'
    for split, ade_split in (('train', 'training'), ('val', 'validation')):
        images, instances, panoptic = [], [], []
        for number in (1, 2):
            name = f'{number:012}'
            ids = np.full((SIDE, SIDE), 1000 * number)  # beyond one colour channel
            ids[20:50, 8:30] = 1000 * number + 1
            ids[10:30, 40:60] = 1000 * number + 2
            ids[:, 0] = 0
            pixels = rng.integers(0, 60, (SIDE, SIDE, 3), dtype=np.uint8)
            segments = []
            for place, label in enumerate((sky, car, person)):
                mask = ids == 1000 * number + place
                pixels[mask, place] += 150
                x, y, w, h = cv2.boundingRect(mask.astype(np.uint8))
                segment = dict(
                    category_id=label + 1, bbox=[x, y, w, h], area=int(mask.sum()), iscrowd=0
                )
                segments.append(dict(segment, id=1000 * number + place))
                if label != sky:
                    rle = coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8))
                    rle['counts'] = rle['counts'].decode()
                    count = len(instances) + 1
                    instances.append(dict(segment, id=count, image_id=number, segmentation=rle))
            images.append(dict(id=number, file_name=f'{name}.jpg', height=SIDE, width=SIDE))
            panoptic.append(dict(image_id=number, file_name=f'{name}.png', segments_info=segments))
            write_image(coco / f'{split}2017' / f'{name}.jpg', pixels)
            write_image(
                coco / 'annotations' / f'panoptic_{split}2017' / f'{name}.png', id2rgb(ids)
            )
            write_image(ade / 'images' / ade_split / f'{name}.jpg', pixels)
            # 0 is void there, class 0 is 1
            semantic = np.where(ids > 0, 1 + ids % 1000, 0).astype(np.uint8)
            write_image(ade / 'annotations' / ade_split / f'{name}.png', semantic)
        things = categories[:80]
        human = dict(images=images, annotations=instances, categories=things)
        for kind, content in {
            f'instances_{split}2017': human,
            f'instances_{split}2017_mal': human,
            f'panoptic_{split}2017': dict(
                images=images, annotations=panoptic, categories=categories
            ),
        }.items():
            (coco / 'annotations' / f'{kind}.json').write_text(json.dumps(content))
    return root


SMALL_BACKBONES = {
    'ResNet': dict(depth=18, base_channels=8),
    'SwinTransformer': dict(embed_dims=8, depths=(1,) * 4, num_heads=(1, 2, 4, 8), window_size=4),
}
SMALL = {
    **dict(in_channels=[8, 16, 32, 64], feat_channels=32, mask_channels=32, embed_dims=32),
    **dict(num_layers=1, num_heads=4, feedforward_channels=32, num_queries=10, num_points=64),
    **dict.fromkeys(('size', 'scale', 'crop_size'), (SIDE, SIDE)),
    **dict(scales=[(SIDE, SIDE)], ratio_range=(0.8, 1.25)),
}


def replace_all(node: Any, new: dict[str, Any]) -> None:
    if isinstance(node, dict):
        for key in node:
            if key in new:
                node[key] = new[key]
            else:
                replace_all(node[key], new)
    elif isinstance(node, (list, tuple)):
        for each in node:
            replace_all(each, new)


def train_and_evaluate(path: Path, work_dir: Path) -> tuple[set[str], dict[str, float]]:
    """One iteration on both images: which parameters did not move, and the last of all logged."""
    # a Runner prints its config five times, and formatting it takes longer than training here
    cfg = Config.fromfile(path, format_python_code=False)
    replace_all([cfg.model.panoptic_head, cfg.model.data_preprocessor], SMALL)
    cfg.model.backbone.update(SMALL_BACKBONES[cfg.model.backbone.type], init_cfg=None)
    for split in ('train', 'val', 'test'):
        loader = cfg[f'{split}_dataloader']
        replace_all(loader, SMALL)
        loader.update(num_workers=0, persistent_workers=False)
        loader.dataset.serialize_data = False  # would collect garbage
    # an untrained network is sure of nothing
    cfg.model.test_cfg.update(max_per_image=8, object_mask_thr=0.0, iou_thr=0.0)
    cfg.train_cfg = dict(type='IterBasedTrainLoop', max_iters=1, val_interval=1)
    cfg.param_scheduler = []
    cfg.randomness = dict(seed=0)
    cfg.default_hooks.logger.interval = 1
    cfg.default_hooks.checkpoint.update(interval=-1, save_last=False)
    cfg.update(launcher='none', work_dir=str(work_dir), log_level='ERROR')
    cfg.experiment_name = path.stem
    assert check_mask_file(cfg) == []
    runner = build_runner(cfg)
    before = {key: value.clone() for key, value in runner.model.named_parameters()}
    runner.model.init_weights = lambda: None  # it has, for `before`
    runner.train()
    assert runner.iter == 1
    still = {k for k, v in runner.model.named_parameters() if torch.equal(v, before[k])}
    logged = runner.message_hub.log_scalars
    return still, {key: float(value.data[0][-1]) for key, value in logged.items()}


TASKS = {
    'phase2/maskdino_r50-hid1024_lsj-50e_coco_mal': ['coco/bbox_mAP', 'coco/segm_mAP'],
    'maskdino/maskdino_r50_lsj-50e_coco-panoptic': ['coco_panoptic/PQ', 'coco/segm_mAP'],
    'maskdino/maskdino_swin-l_160k_ade20k-640x640': ['mIoU', 'aAcc'],
}


@pytest.mark.parametrize('name', TASKS)
def test_task_trains_an_iteration_and_evaluates(name, repo_root, data_root, tmp_path, monkeypatch):
    monkeypatch.chdir(data_root)
    monkeypatch.delenv('MAL_ANN_FILE', raising=False)
    still, logged = train_and_evaluate(repo_root / 'configs' / f'{name}.py', tmp_path)
    assert all('.bn' in each or 'downsample.1' in each for each in still)  # frozen batch norms
    losses = {key: value for key, value in logged.items() if 'loss' in key}
    assert np.isfinite(list(losses.values())).all()
    for loss in ('cls', 'mask', 'dice', 'bbox', 'iou'):
        assert losses[f'train/loss_{loss}'] > 0 and losses[f'train/dn_loss_{loss}'] > 0
    for score in TASKS[name]:
        assert 0 <= logged[f'val/{score}'] <= 100
