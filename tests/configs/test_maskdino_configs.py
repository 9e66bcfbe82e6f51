"""Mask DINO's recipes have the authors' numbers."""

from __future__ import annotations

import argparse
import functools
import re
from typing import Any

import pytest
import torch
from mmdet.registry import MODELS
from mmengine.config import DictAction
from mmengine.optim import build_optim_wrapper
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from mal_mm.checkpoints.maskdino_config import deduce_model
from mal_mm.reproduce.paper_figures import figure

COCO = (368750, [327778, 355092])
# name -> length, drops of the learning rate, GPUs: of the authors' yaml files where there are any
SCHEDULES = {
    'r50-hid1024_lsj-50e_coco': (*COCO, 8),
    'r50-hid2048_lsj-50e_coco': (*COCO, 8),
    'r50-hid2048_lsj-12e_coco': (12, [11], 8),
    'r50-hid2048_lsj-24e_coco': (24, [20], 8),
    'swin-l_lsj-50e_coco': (*COCO, 8),
    'swin-l_26e_objects365-boxes': (26, [24], 64),
    'swin-l_lsj-1280-24e_objects365-coco': (24, [20], 16),
    'swin-l_lsj-1280-24e_objects365-coco-panoptic': (24, [20], 16),
    'r50_lsj-50e_coco-panoptic': (*COCO, 8),
    'swin-l_lsj-50e_coco-panoptic': (*COCO, 8),
    'r50_160k_ade20k-512x512': (160000, [135000, 150000], 8),
    'swin-l_160k_objects365-ade20k-640x640': (160000, [144000, 152000], 8),
    'r50_90k_cityscapes-512x1024': (90000, [80000, 87000], 8),
}
# those of the authors' yaml files that the paper's text contradicts
NOT_AS_PRINTED = [
    name
    for name, (length, drops, _) in SCHEDULES.items()
    if length > 100 and drops != [length * 9 // 10, length * 19 // 20]
]


@pytest.fixture
def recipe(load_config):
    return lambda name: load_config(f'maskdino/maskdino_{name}.py')


@pytest.fixture
def build_on_meta(monkeypatch):
    def build(cfg: dict) -> nn.Module:
        # mmdet's Swin reads values of this one
        monkeypatch.setattr(torch, 'linspace', functools.partial(torch.linspace, device='cpu'))
        with torch.device('meta'):
            return MODELS.build(cfg)

    return build


@pytest.mark.slow
def test_all_recipes_have_the_authors_schedule(recipe, repo_root):
    files = (repo_root / 'configs' / 'maskdino').glob('*.py')
    assert {path.stem.removeprefix('maskdino_') for path in files} == SCHEDULES.keys()
    for name, (length, drops, gpus) in SCHEDULES.items():
        cfg = recipe(name)
        unit = 'max_epochs' if length < 100 else 'max_iters'
        assert cfg.train_cfg[unit] == length, name
        (schedule,) = cfg.param_scheduler
        assert (schedule.milestones, schedule.gamma) == (drops, 0.1), name
        assert schedule.by_epoch == (unit == 'max_epochs'), name
        batch_size = gpus * cfg.train_dataloader.batch_size
        assert cfg.auto_scale_lr.base_batch_size == batch_size, name
        assert batch_size == (64 if 'boxes' in name else 16), name
        optim = cfg.optim_wrapper
        semantic = 'ade20k' in name or 'cityscapes' in name
        assert (optim.type == 'AmpOptimWrapper') == (not semantic), name
        assert optim.optimizer.lr == 1e-4
        # detection pretraining has DINO's
        decay, norm = (1e-4, 0.1) if 'boxes' in name else (0.05, 0.01)
        assert optim.optimizer.weight_decay == decay
        assert optim.clip_grad == dict(max_norm=norm, norm_type=2)


@pytest.mark.slow
def test_docstrings_name_the_option_for_the_drops_that_the_paper_prints(recipe, repo_root):
    assert len(NOT_AS_PRINTED) == 7
    for name in NOT_AS_PRINTED:
        text = (repo_root / 'configs' / 'maskdino' / f'maskdino_{name}.py').read_text()
        (option,) = re.findall(r"--cfg-options '(param_scheduler\S+)'", text)
        parser = argparse.ArgumentParser()
        parser.add_argument('--cfg-options', nargs='+', action=DictAction)
        cfg = recipe(name)
        cfg.merge_from_dict(parser.parse_args(['--cfg-options', option]).cfg_options)
        length = cfg.train_cfg.max_iters
        (schedule,) = cfg.param_scheduler
        assert schedule.milestones == [length * 9 // 10, length * 19 // 20], name
        assert (schedule.type, schedule.end, schedule.gamma) == ('MultiStepLR', length, 0.1)


def printed(section: str, name: str) -> float:
    return figure('Mask DINO', f'App. {section}', name)


@pytest.mark.slow
def test_all_recipes_have_the_losses_and_the_noise_of_the_paper(recipe):
    weights = {
        'cls_weight': printed('B.1', 'class loss weight'),
        'bbox_weight': printed('B.1', 'box L1 loss weight'),
        'iou_weight': printed('B.1', 'box GIoU loss weight'),
        'mask_weight': printed('B.1', 'mask cross-entropy weight'),
        'dice_weight': printed('B.1', 'mask dice weight'),
    }
    for name in SCHEDULES:
        head = recipe(name).model.panoptic_head
        assert {key: head.criterion[key] for key in weights} == weights, name
        assert head.denoising.noise_scale == printed('B.2', 'box noise')
        # labels are replaced with half of it
        assert head.denoising.noise_scale / 2 == printed('B.2', 'label noise')
        assert head.decoder.num_layers == 9
        semantic_r50 = 'r50' in name and not head.decoder.two_stage
        if name.endswith('boxes'):  # DINO's
            queries = 900
        elif 'ade20k-640' in name:
            queries = printed('C', 'queries on ADE20K')
        else:  # the yaml files of semantic R50 models have fewer than the paper says
            queries = 100 if semantic_r50 else printed('B.1', 'queries')
        assert head.decoder.num_queries == queries, name
        levels = head.pixel_decoder.num_backbone_levels + head.pixel_decoder.num_extra_levels
        if 'swin' in name:
            assert levels == printed('B.1', 'feature scales with SwinL')
        else:  # and lighter models fewer levels
            fewer = semantic_r50 or 'hid1024' in name
            assert levels == (3 if fewer else printed('B.1', 'feature scales with ResNet-50'))


@pytest.mark.slow
def test_recipes_of_coco_jitter_scales_and_crop_as_printed(recipe):
    for name in SCHEDULES:
        if 'lsj' not in name:
            continue
        cfg = recipe(name)
        side = (
            printed('C', 'image size on COCO') if '1280' in name else printed('B.1', 'crop on COCO')
        )
        *_, flip, resize, crop, _, _ = cfg.train_dataloader.dataset.pipeline
        assert flip.prob == 0.5
        assert (resize.scale, resize.ratio_range) == ((side, side), (0.1, 2.0)), name
        assert crop.crop_size == (side, side)
        (pad,) = cfg.model.data_preprocessor.batch_augments
        assert (pad.size, pad.pad_mask, pad.pad_seg) == ((side, side), True, 'panoptic' in name)
        for split in ('val', 'test'):
            scale = cfg[f'{split}_dataloader'].dataset.pipeline[1].scale
            assert scale == ((1600, 960) if '1280' in name else (1333, 800))


@pytest.mark.slow
def test_large_models_start_from_the_detector(recipe):
    for name, (length, _, gpus) in SCHEDULES.items():
        cfg = recipe(name)
        assert bool(cfg.load_from) == ('objects365-' in name and 'boxes' not in name), name
        if cfg.load_from:
            assert cfg.model.backbone.init_cfg is None
        if '1280' in name:
            assert (length, gpus) == tuple(printed('C', f'{x} on COCO') for x in ('epochs', 'GPUs'))
        if 'ade20k-640' in name:
            assert length == printed('C', 'iterations on ADE20K')
            assert gpus == printed('C', 'GPUs on ADE20K')
            (hook,) = cfg.custom_hooks
            assert (hook.type, hook.momentum) == ('EMAHook', 0.0003)


def plain(node: Any) -> Any:
    """Tuples as lists."""
    if isinstance(node, dict):
        return {key: plain(value) for key, value in node.items()}
    return [plain(each) for each in node] if isinstance(node, (list, tuple)) else node


def assert_includes(cfg: dict, part: dict, place: str = '') -> None:
    for key, value in part.items():
        if isinstance(value, dict):
            assert_includes(cfg[key], value, f'{place}.{key}')
        else:
            assert (f'{place}.{key}', plain(cfg[key])) == (f'{place}.{key}', plain(value))


@pytest.mark.slow
@pytest.mark.parametrize(
    'name, millions',
    [
        # those of the paper are 52 (R50, 2048 hidden channels) and 223 (Swin-L)
        ('r50-hid2048_lsj-50e_coco', 52.1),
        ('r50-hid1024_lsj-50e_coco', 43.9),
        ('swin-l_lsj-50e_coco', 222.8),
        ('r50_lsj-50e_coco-panoptic', 52.1),
        ('r50_160k_ade20k-512x512', 43.9),
    ],
)
def test_tensors_of_the_model_tell_its_config(name, millions, recipe, build_on_meta):
    cfg = recipe(name)
    model = build_on_meta(cfg.model)
    count = sum(parameter.numel() for parameter in model.parameters())
    assert round(count / 1e6, 1) == millions
    box_init = cfg.model.panoptic_head.decoder.box_init
    assert_includes(cfg.model, deduce_model(model.state_dict(), box_init=box_init))


@pytest.mark.parametrize(
    'name',
    [
        'r50-hid2048_lsj-12e_coco',
        'swin-l_160k_objects365-ade20k-640x640',
        'r50_90k_cityscapes-512x1024',
    ],
)
def test_norms_embeddings_and_tables_do_not_decay(name, recipe, build_on_meta):
    cfg = recipe(name).copy()
    cfg.optim_wrapper.type = 'OptimWrapper'  # AMP wants a GPU
    cfg.optim_wrapper.pop('loss_scale', None)
    if 'swin' in name:
        cfg.model.backbone.use_abs_pos_embed = True
    model = build_on_meta(cfg.model)
    names = {parameter: each for each, parameter in model.named_parameters()}
    without = {
        f'{prefix}.{each}'
        for prefix, module in model.named_modules()
        if isinstance(module, (nn.LayerNorm, nn.GroupNorm, _BatchNorm, nn.Embedding))
        for each, parameter in module.named_parameters(recurse=False)
        if parameter.requires_grad
    } | {each for each in names.values() if 'bias_table' in each or 'absolute_pos' in each}
    groups = build_optim_wrapper(model, cfg.optim_wrapper).optimizer.param_groups
    learned = {each for each, parameter in model.named_parameters() if parameter.requires_grad}
    seen = set()
    for group in groups:
        (parameter,) = group['params']
        each = names[parameter]
        seen.add(each)
        expected = (1e-5 if each.startswith('backbone') else 1e-4, 0 if each in without else 0.05)
        assert (pytest.approx(group['lr']), group['weight_decay']) == expected, each
    assert seen == learned
    frozen = {each for each in names.values() if each not in learned}
    assert all(
        each.startswith('backbone') and ('bn' in each or 'downs' in each) for each in frozen
    )
    # the first batch norm, 3 in each of 16 blocks, 4 of shortcuts; weight and bias
    assert len(frozen) == (0 if 'hid2048' not in name else 2 * (1 + 3 * 16 + 4))
