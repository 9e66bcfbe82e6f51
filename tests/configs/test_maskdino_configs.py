"""Mask DINO's recipes have the authors' numbers."""

from __future__ import annotations

import functools
from typing import Any

import pytest
import torch
from mmdet.registry import MODELS
from mmengine.optim import build_optim_wrapper
from mmengine.runner import load_checkpoint
from tiny_maskdino import model_config
from torch import nn

from mal_mm.checkpoints.maskdino_config import deduce_model

# name -> length, drops of the learning rate
SCHEDULES = {
    'r50-hid1024_lsj-50e_coco': (368750, [327778, 355092]),
    'r50-hid2048_lsj-50e_coco': (368750, [327778, 355092]),
    'r50-hid2048_lsj-12e_coco': (12, [11]),
    'r50-hid2048_lsj-24e_coco': (24, [20]),
    'swin-l_lsj-50e_coco': (368750, [327778, 355092]),
    'swin-l_lsj-1216-20e_objects365-coco': (147500, [132750, 140125]),
    'r50_lsj-50e_coco-panoptic': (368750, [327778, 355092]),
    'swin-l_lsj-50e_coco-panoptic': (368750, [327778, 355092]),
    'r50_160k_ade20k-512x512': (160000, [135000, 150000]),
    'swin-l_160k_ade20k-640x640': (160000, [135000, 150000]),
}


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
    for name, (length, drops) in SCHEDULES.items():
        cfg = recipe(name)
        unit = 'max_epochs' if length < 100 else 'max_iters'
        assert cfg.train_cfg[unit] == length, name
        (schedule,) = cfg.param_scheduler
        assert (schedule.milestones, schedule.gamma) == (drops, 0.1), name
        assert schedule.by_epoch == (unit == 'max_epochs'), name
        assert cfg.auto_scale_lr.base_batch_size == 8 * cfg.train_dataloader.batch_size == 16
        optim = cfg.optim_wrapper
        assert (optim.type == 'AmpOptimWrapper') == ('ade20k' not in name), name
        assert (optim.optimizer.lr, optim.optimizer.weight_decay) == (1e-4, 0.05)
        assert optim.clip_grad == dict(max_norm=0.01, norm_type=2)


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


@pytest.mark.parametrize('name', ['r50-hid2048_lsj-12e_coco', 'swin-l_160k_ade20k-640x640'])
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
        if isinstance(module, (nn.LayerNorm, nn.GroupNorm, nn.Embedding))
        for each, _ in module.named_parameters(recurse=False)
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
    assert len(frozen) == (0 if 'swin' in name else 2 * (1 + 3 * 16 + 4))


def test_a_detection_checkpoint_of_other_classes_and_without_masks_loads(tmp_path):
    detector = MODELS.build(model_config('instance', num_things_classes=7))
    weights = {k: v for k, v in detector.state_dict().items() if 'mask_embed' not in k}
    torch.save({'state_dict': weights}, tmp_path / 'boxes.pth')
    model = MODELS.build(model_config('instance'))
    before = {key: value.clone() for key, value in model.state_dict().items()}
    load_checkpoint(model, str(tmp_path / 'boxes.pth'), map_location='cpu')  # as `load_from` does
    after = model.state_dict()
    kept = {
        key for key in after if any(n in key for n in ('class_embed', 'label_enc', 'mask_emb'))
    }
    assert len(kept) == 2 + 1 + 6
    for key, value in after.items():
        torch.testing.assert_close(
            value, (before if key in kept else weights)[key], rtol=0, atol=0
        )
