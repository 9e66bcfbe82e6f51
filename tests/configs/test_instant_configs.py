"""What configs/mal/instant_* resolve to: labelers that need no training."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import torch
from mmdet.registry import MODELS
from mmengine.registry import DefaultScope
from sharp_labeler import blotches
from tiny_labeler import ARCH

from mal_mm.apis import MaskLabeler
from mal_mm.apis.mask_labeler import INSTANT_SIZES
from mal_mm.labeling import LabelingEngine

# parameters of the published encoders
SIZES = {'small': ('vits14', 384, 12), 'base': ('vitb14', 768, 12), 'large': ('vitl14', 1024, 24)}
EACH = pytest.mark.parametrize('size', INSTANT_SIZES)


@pytest.fixture
def load(load_config):
    return lambda size: load_config(f'mal/instant_dinov2_{size}.py')


def test_there_is_a_config_for_each_size(repo_root):
    found = sorted(path.name for path in (repo_root / 'configs' / 'mal').glob('instant_*.py'))
    assert found == sorted(f'instant_dinov2_{size}.py' for size in INSTANT_SIZES)
    assert set(SIZES) == set(INSTANT_SIZES)


@EACH
def test_it_is_the_published_encoder_under_its_published_name(load, size, monkeypatch):
    cfg = load(size)
    name, channels, depth = SIZES[size]
    address = cfg.model.encoder.init_cfg.checkpoint
    assert address.endswith(f'/dinov2_{name}/dinov2_{name}_pretrain.pth')
    # mmpretrain's ViT reads values of this one
    monkeypatch.setattr(torch, 'linspace', functools.partial(torch.linspace, device='cpu'))
    with torch.device('meta'), DefaultScope.overwrite_default_scope('mmdet'):
        model = MODELS.build(cfg.model)
    assert (model.encoder.out_channels, len(model.encoder.layers)) == (channels, depth)
    # 37 x 37 places of 14 px and the class token, as published
    assert model.encoder.pos_embed.shape == (1, 1 + 37 * 37, channels)
    assert not any(parameter.requires_grad for parameter in model.parameters())


@EACH
def test_masks_are_drawn_alike_whatever_the_size(load, size):
    assert load(size).model.test_cfg == load('small').model.test_cfg
    test_cfg = load(size).model.test_cfg.to_dict()
    assert test_cfg['crop_size'] % load(size).model.encoder.patch_size == 0
    assert (test_cfg['refine'], test_cfg['overlaps']) == ('instant', 'centre')
    assert (test_cfg['mask_threshold'], test_cfg['box_tolerance']) == (0.5, 0)
    assert set(test_cfg) <= set(LabelingEngine.OPTIONS)


@EACH
def test_there_is_nothing_to_train(load, size):
    cfg = load(size)
    assert not {'train_dataloader', 'train_cfg', 'optim_wrapper', 'param_scheduler'} & set(cfg)
    assert cfg.custom_imports.to_dict() == {'imports': ['mal_mm'], 'allow_failed_imports': False}
    assert cfg.default_scope == 'mmdet'


@EACH
def test_masks_at_reduced_size(load, size, tmp_path):
    cfg = load(size)
    cfg.model.encoder.update(arch=dict(ARCH), img_size=70)
    cfg.model.test_cfg.crop_size = 70
    weights = tmp_path / cfg.model.encoder.init_cfg.checkpoint.rpartition('/')[2]
    with DefaultScope.overwrite_default_scope('mmdet'):
        torch.save(MODELS.build(cfg.model).encoder.state_dict(), weights)
    labeler = MaskLabeler(cfg, device='cpu', weights=tmp_path)
    boxes = np.array([[5, 5, 60, 50], [20, 30, 110, 85]])
    for mask, box in zip(labeler.label(blotches(), boxes), boxes, strict=True):
        assert 0 <= mask.quality <= 1
        x0, y0, x1, y1 = box
        assert mask.mask[y0:y1, x0:x1].sum() == mask.area
