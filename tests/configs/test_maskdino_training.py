"""Mask DINO's recipes train and evaluate each task, at small size."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from mmdet.datasets import CocoPanopticDataset, Objects365V2Dataset
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner import Runner
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

    Masks of instances are RLE, the first column is void. Objects365 has the boxes alone.
    """
    root = tmp_path_factory.mktemp('maskdino')
    rng = np.random.default_rng(0)
    car, person, sky = (META['classes'].index(n) for n in ('car', 'person', 'sky-other-merged'))
    categories = [
        dict(id=number + 1, name=name, isthing=int(name in META['thing_classes']))
        for number, name in enumerate(META['classes'])
    ]
    coco, ade, cities, objects365 = (
        root / 'data' / name
        for name in ('coco', 'ADEChallengeData2016', 'cityscapes', 'Objects365/Obj365_v2')
    )
    (objects365 / 'annotations').mkdir(parents=True)
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
            city = f'{split}/ulm/ulm_{number:06}_000019'
            write_image(cities / 'leftImg8bit' / f'{city}_leftImg8bit.png', pixels)
            train_ids = np.where(ids > 0, ids % 1000, 255).astype(np.uint8)
            write_image(cities / 'gtFine' / f'{city}_gtFine_labelTrainIds.png', train_ids)
            write_image(objects365 / split / 'patch0' / f'{name}.jpg', pixels)
        boxes = dict(
            images=[
                dict(image, file_name=f'images/v2/patch0/{image["file_name"]}') for image in images
            ],
            annotations=[
                {key: value for key, value in instance.items() if key != 'segmentation'}
                for instance in instances
            ],
            categories=[
                dict(id=number, name=name)
                for number, name in enumerate(Objects365V2Dataset.METAINFO['classes'], start=1)
            ],
        )
        path = objects365 / 'annotations' / f'zhiyuan_objv2_{split}.json'
        path.write_text(json.dumps(boxes))
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
    'ResNet': dict(depth=18, base_channels=8, zero_init_residual=False),
    'SwinTransformer': dict(
        embed_dims=8,
        depths=(1,) * 4,
        num_heads=(1, 2, 4, 8),
        window_size=4,
        drop_path_rate=0.0,  # a dropped block does not learn
    ),
}
SMALL = {
    **dict(in_channels=[8, 16, 32, 64], feat_channels=32, mask_channels=32, embed_dims=32),
    **dict(num_layers=1, num_heads=4, feedforward_channels=32, num_queries=10, num_points=64),
    **dict(dn_num=6),
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


def small_runner(path: Path, work_dir: Path, load_from: Path | None) -> Runner:
    """A Runner for one iteration on both images of a config made small."""
    # a Runner prints its config five times, and formatting it takes longer than training here
    cfg = Config.fromfile(path, format_python_code=False)
    replace_all([cfg.model.panoptic_head, cfg.model.data_preprocessor], SMALL)
    cfg.model.backbone.update(SMALL_BACKBONES[cfg.model.backbone.type], init_cfg=None)
    for split in ('train', 'val', 'test'):
        loader = cfg[f'{split}_dataloader']
        for dataset in loader.dataset.get('datasets', [loader.dataset]):
            dataset.serialize_data = False  # would collect garbage
        replace_all(loader, SMALL)
        loader.update(batch_size=2, num_workers=0, persistent_workers=False)
    # an untrained network is sure of nothing
    cfg.model.test_cfg.update(max_per_image=8, object_mask_thr=0.0, iou_thr=0.0)
    cfg.train_cfg = dict(type='IterBasedTrainLoop', max_iters=1, val_interval=1)
    cfg.param_scheduler = []
    cfg.randomness = dict(seed=0)
    cfg.default_hooks.logger.interval = 1
    cfg.default_hooks.checkpoint = dict(
        type='CheckpointHook', by_epoch=False, save_optimizer=False
    )
    cfg.update(launcher='none', work_dir=str(work_dir), log_level='WARNING')
    cfg.load_from = load_from and str(load_from)
    # Runners of one name and second would share a logger
    cfg.experiment_name = f'{path.stem}_{work_dir.name}'
    assert check_mask_file(cfg) == []
    return build_runner(cfg)


class StartWatch(Hook):
    """Keeps the weights that training starts from."""

    def before_train(self, runner: Runner) -> None:
        self.weights = {key: value.clone() for key, value in runner.model.named_parameters()}


def train_and_evaluate(runner: Runner) -> tuple[set[str], dict[str, float]]:
    """Which parameters did not move, and the last of all logged."""
    start = StartWatch()
    runner.register_hook(start)
    runner.train()
    assert runner.iter == 1
    still = {k for k, v in runner.model.named_parameters() if torch.equal(v, start.weights[k])}
    logged = runner.message_hub.log_scalars
    return still, {key: float(value.data[0][-1]) for key, value in logged.items()}


@pytest.fixture(scope='module')
def detector(repo_root, data_root, tmp_path_factory) -> tuple[dict[str, float], Path]:
    """What the detector of Objects365 logs in an iteration, and its checkpoint."""
    work_dir = tmp_path_factory.mktemp('detector')
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(data_root)
        path = repo_root / 'configs/maskdino/maskdino_swin-l_26e_objects365-boxes.py'
        runner = small_runner(path, work_dir, None)
        train, part_of_val = runner.train_dataloader.dataset.datasets
        assert 'train/patch0' in train[0]['data_samples'].img_path
        assert 'val/patch0' in part_of_val[0]['data_samples'].img_path
        still, logged = train_and_evaluate(runner)
    # what starts at zero behind them lets no gradient through, and DINO's decay is slight
    assert all('box_embed.layers.' in each or 'level_embed' in each for each in still)
    return logged, work_dir / 'iter_1.pth'


def test_detector_learns_and_is_scored_by_boxes_alone(detector):
    logged, path = detector
    losses = {key.removeprefix('train/') for key in logged if 'loss_' in key}
    assert {key.rpartition('_')[2] for key in losses} == {'cls', 'bbox', 'iou'}
    assert all(
        logged[f'train/{part}loss_{name}'] > 0
        for part in ('', 'dn_', 'enc_', 'd0.')
        for name in ('cls', 'bbox', 'iou')
    )
    assert {key for key in logged if key.endswith('mAP')} == {'val/coco/bbox_mAP'}
    assert 0 <= logged['val/coco/bbox_mAP'] <= 1  # -1: no box to find
    weights = torch.load(path, weights_only=True)['state_dict']
    assert not [name for name in weights if 'mask' in name or 'lateral' in name]


LARGE = 'maskdino/maskdino_swin-l_'
TASKS = {
    'phase2/maskdino_r50-hid1024_lsj-50e_coco_mal': ['coco/bbox_mAP', 'coco/segm_mAP'],
    f'{LARGE}lsj-1280-24e_objects365-coco-panoptic': ['coco_panoptic/PQ', 'coco/segm_mAP'],
    f'{LARGE}160k_objects365-ade20k-640x640': ['mIoU', 'aAcc'],
    'maskdino/maskdino_r50_90k_cityscapes-512x1024': ['mIoU', 'aAcc'],
}


@pytest.mark.parametrize('name', TASKS)
def test_task_trains_an_iteration_and_evaluates(
    name, repo_root, data_root, detector, tmp_path, monkeypatch
):
    monkeypatch.chdir(data_root)
    start = detector[1] if 'objects365-' in name else None
    runner = small_runner(repo_root / 'configs' / f'{name}.py', tmp_path, start)
    still, logged = train_and_evaluate(runner)
    assert all('.bn' in each or 'downsample.1' in each for each in still)  # frozen batch norms
    assert bool(still) == ('coco_mal' in name)
    losses = {key: value for key, value in logged.items() if 'loss' in key}
    assert np.isfinite(list(losses.values())).all()
    for loss in ('cls', 'mask', 'dice', 'bbox', 'iou'):
        assert losses[f'train/loss_{loss}'] > 0 and losses[f'train/dn_loss_{loss}'] > 0
    for score in TASKS[name]:
        assert 0 <= logged[f'val/{score}'] <= 100


OTHER_CLASSES = {
    'decoder.class_embed.weight',
    'decoder.class_embed.bias',
    'decoder.label_enc.weight',
}
MASK_PARTS = (
    'pixel_decoder.lateral_',
    'pixel_decoder.output_',
    'pixel_decoder.mask_',
    'decoder.mask_',
)
LEARNED_QUERIES = {'decoder.query_feat.weight', 'decoder.query_embed.weight'}


@pytest.mark.parametrize(
    'name',
    [
        'lsj-1280-24e_objects365-coco',
        'lsj-1280-24e_objects365-coco-panoptic',
        '160k_objects365-ade20k-640x640',
    ],
)
def test_finetuning_starts_from_the_detector_and_logs_what_it_lacks(
    name, repo_root, data_root, detector, tmp_path, monkeypatch
):
    monkeypatch.chdir(data_root)
    runner = small_runner(repo_root / f'configs/{LARGE}{name}.py', tmp_path, detector[1])
    head = 'panoptic_head.'
    before = {key: value.clone() for key, value in runner.model.state_dict().items()}
    runner.call_hook('before_run')  # where the moving average begins
    runner.load_or_resume()
    saved = torch.load(detector[1], weights_only=True)['state_dict']
    ours = {key.removeprefix(head) for key in before}
    fresh = OTHER_CLASSES | {key for key in ours if key.startswith(MASK_PARTS)}
    assert len(fresh) == 3 + 8 + 6
    fresh |= LEARNED_QUERIES & ours
    for key, value in runner.model.state_dict().items():
        source = before if key.removeprefix(head) in fresh else saved
        torch.testing.assert_close(value, source[key], rtol=0, atol=0)

    (log,) = tmp_path.glob('*/*.log')
    lines = log.read_text().splitlines()
    (other_shape,) = (line for line in lines if 'another shape' in line)
    (missing,) = (line for line in lines if 'not in the checkpoint' in line)
    for key in fresh:
        assert f'{head}{key}' in (other_shape if key in OTHER_CLASSES else missing)
    assert f'({len(fresh - OTHER_CLASSES)} tensors)' in missing
