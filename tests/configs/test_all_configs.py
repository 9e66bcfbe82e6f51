"""Every config under configs/ can be read and built."""

from __future__ import annotations

import ast
import functools
import re
import shutil
from pathlib import Path

import pytest
import torch
from mmdet.registry import HOOKS, MODELS, TRANSFORMS
from mmdet.utils import register_all_modules
from mmengine.config import Config
from mmengine.registry import DefaultScope

import mal_mm

CONFIG_ROOT = Path(__file__).resolve().parents[2] / 'configs'
FILES = sorted(path.relative_to(CONFIG_ROOT).as_posix() for path in CONFIG_ROOT.glob('*/*.py'))
# a fragment is a config only together with a stock one
CONFIGS = [name for name in FILES if name != 'phase2/mal_masks.py']
# labelers that are not trained: no data set, no schedule
INSTANT_CONFIGS = [name for name in CONFIGS if name.startswith(('mal/instant_', 'mal/sam_'))]
TRAINED_CONFIGS = [name for name in CONFIGS if name not in INSTANT_CONFIGS]
MAL_CONFIGS = [name for name in TRAINED_CONFIGS if name.startswith('mal/')]


def pipelines(node: object):
    """All pipelines in a config."""
    if isinstance(node, dict):
        for key, value in node.items():
            if key == 'pipeline':
                yield value
            else:
                yield from pipelines(value)


@pytest.fixture(autouse=True)
def mmdet_scope():
    register_all_modules(init_default_scope=False)
    with DefaultScope.overwrite_default_scope('mmdet'):
        yield


def test_there_are_configs_of_both_phases_and_of_mask_dino():
    assert {'mal/vit_mae_base.py', 'mal/vit_mae_base_paper.py'} <= set(CONFIGS)
    instant = {f'mal/instant_dinov2_{size}.py' for size in ('small', 'base', 'large')}
    prompted = {f'mal/sam_{name}.py' for name in ('vit_base', '2_hiera_tiny', '3')}
    assert instant | prompted == {*INSTANT_CONFIGS}
    assert 'phase2/solov2_r50_fpn_3x_coco_mal.py' in CONFIGS
    assert 'maskdino/maskdino_r50-hid2048_lsj-50e_coco.py' in CONFIGS


@pytest.mark.parametrize('name', TRAINED_CONFIGS)
def test_model_pipelines_and_hooks_are_built(name, load_config, monkeypatch):
    cfg = load_config(name)
    # mmpretrain's Swin and ConvNeXt read values of this one
    monkeypatch.setattr(torch, 'linspace', functools.partial(torch.linspace, device='cpu'))
    with torch.device('meta'):  # shapes without memory or initialisation
        model = MODELS.build(cfg.model)
    assert any(parameter.requires_grad for parameter in model.parameters())
    found = [*pipelines(cfg.to_dict())]
    assert found
    for pipeline in found:
        assert all(TRANSFORMS.build(transform) for transform in pipeline)
    for hook in cfg.get('custom_hooks', []):
        HOOKS.build(hook)


def test_schedules_end_with_the_training(load_config):
    for name in TRAINED_CONFIGS:
        cfg = load_config(name)
        if cfg.train_cfg.get('type') == 'BoxCountTrainLoop':
            # mmengine lets a schedule without `end` stop with the training, whatever its length
            assert any('end' not in each for each in cfg.param_scheduler), name
            continue
        by_epoch = 'max_epochs' in cfg.train_cfg
        schedule = (
            cfg.param_scheduler if isinstance(cfg.param_scheduler, list) else [cfg.param_scheduler]
        )
        ends = [each.end for each in schedule if each.get('by_epoch', True) == by_epoch]
        assert max(ends) == cfg.train_cfg['max_epochs' if by_epoch else 'max_iters'], name


def test_phase_1_imports_mal_mm_and_never_reads_segmentations(load_config):
    for name in MAL_CONFIGS:
        cfg = load_config(name)
        imports = {'imports': ['mal_mm'], 'allow_failed_imports': False}
        assert cfg.custom_imports.to_dict() == imports, name
        assert cfg.default_scope == 'mmdet', name
        dataset = cfg.train_dataloader.dataset
        assert (dataset.type, dataset.dataset.type) == ('RoIDataset', 'CocoBoxDataset'), name
        assert 'LoadAnnotations' not in [transform.type for transform in dataset.pipeline], name
        # training and labeling pad alike
        (crop,) = (transform for transform in dataset.pipeline if transform.type == 'RoICrop')
        sample_sizes = {'mal/small_set.py': (224, 224)}
        # 518 is the multiple of 14 next to 512
        usual = 518 if cfg.model.network.encoder.get('patch_size') == 14 else 512
        sizes = (crop.crop_size, cfg.model.test_cfg.crop_size)
        assert sizes == sample_sizes.get(name, (usual, usual)), name
        assert crop.padding == cfg.model.test_cfg.padding, name


def test_every_config_opens_with_the_command_that_runs_it_and_is_found_by_its_name():
    for name in FILES:
        text = (CONFIG_ROOT / name).read_text()
        docstring = ast.get_docstring(ast.parse(text))
        assert docstring, f'{name} has no docstring'
        assert re.search(rf'(configs/{name}|quickstart\.sh)', docstring), name
        assert Path(mal_mm.config_path(name)).read_text() == text, name
