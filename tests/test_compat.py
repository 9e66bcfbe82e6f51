import pickle
import subprocess
import sys

import mmdet.registry
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.logging import HistoryBuffer
from mmengine.registry import Registry
from mmengine.registry import build_from_cfg as build
from mmengine.runner import load_checkpoint
from torch import nn

import mal_mm
import mal_mm.registry
from mal_mm.compat.cpu_precision import fall_back_to_fp32
from mal_mm.compat.cpu_ranks import prepare_cpu_ranks

on_cpu = pytest.mark.skipif(get_device() != 'cpu', reason='for machines without an accelerator')


def test_torchvision_imports_in_a_fresh_process_once_mal_mm_is_imported():
    code = (
        'import mal_mm, torch, torchvision, mmpretrain.models; '
        'boxes = torch.tensor([[0., 0, 2, 2], [0, 0, 2, 1]]); '
        'print(torchvision.ops.box_iou(boxes, boxes)[0, 1].item())'
    )
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == '0.5'


def test_a_runner_checkpoint_loads_with_weights_only(tmp_path):
    history = HistoryBuffer(np.array([1.0, 2.0]), np.array([1, 1]))
    state = {
        'log': history,
        'scalar': np.float64(0.5),
        'int': np.int64(3),
        'array': np.arange(3, dtype=np.float32),
    }
    torch.save(state, tmp_path / 'runner.pth')
    loaded = torch.load(tmp_path / 'runner.pth', weights_only=True)
    assert loaded['log'].mean() == 1.5
    assert (loaded['scalar'], loaded['int']) == (0.5, 3)
    assert loaded['array'].tolist() == [0, 1, 2]


def test_runner_checkpoints_stay_loadable_after_mmengine_has_loaded_one(tmp_path):
    torch.save({'log': HistoryBuffer(np.array([1.0]), np.array([1]))}, tmp_path / 'runner.pth')
    load_checkpoint(nn.Linear(1, 1), str(tmp_path / 'runner.pth'), strict=False)
    assert torch.load(tmp_path / 'runner.pth', weights_only=True)['log'].mean() == 1


class _TakesAnAttribute:
    def __reduce__(self):
        return getattr, (HistoryBuffer, '__init__')


@pytest.mark.parametrize('content', [nn.Linear(1, 1), _TakesAnAttribute()])
def test_other_objects_stay_untrusted(tmp_path, content):
    torch.save({'model': content}, tmp_path / 'x.pth')
    with pytest.raises(pickle.UnpicklingError):
        torch.load(tmp_path / 'x.pth', weights_only=True)


@pytest.mark.parametrize('name', ['mal/vit_mae_base.py', 'mal/vit_mae_base_paper.py'])
def test_a_config_can_inherit_from_mal_mm(tmp_path, name):
    config = tmp_path / 'mine.py'
    config.write_text(f"_base_ = 'mal_mm::{name}'\nmodel = dict(mil_ramp_iters=7)\n")
    cfg = Config.fromfile(config)
    assert cfg.model.type == 'MaskAutoLabeler'
    assert cfg.model.mil_ramp_iters == 7


def test_a_config_can_inherit_by_path_before_mal_mm_is_imported(tmp_path):
    config = tmp_path / 'mine.py'
    config.write_text("_base_ = __import__('mal_mm').config_path('mal/vit_mae_base.py')\n")
    code = (
        f'from mmengine.config import Config; print(Config.fromfile({str(config)!r}).model.type)'
    )
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == 'MaskAutoLabeler'


def test_a_wrong_config_name_lists_the_right_ones():
    with pytest.raises(FileNotFoundError, match=r"no config 'mal/x.py'; .*mal/vit_mae_base.py"):
        mal_mm.config_path('mal/x.py')


def test_every_registry_of_mmdet_has_a_child_in_the_scope_mal_mm():
    names = [
        name
        for name, each in vars(mmdet.registry).items()
        if isinstance(each, Registry) and each.scope == 'mmdet'
    ]
    assert len(names) >= 20
    for name in names:
        child = getattr(mal_mm.registry, name)
        assert child.scope == 'mal_mm'
        assert child.parent is getattr(mmdet.registry, name)


@pytest.mark.parametrize('type_', ['L1Loss', 'mmdet.L1Loss'])
def test_modules_of_mmdet_are_found_in_the_scope_mal_mm(type_):
    loss = build({'type': type_, '_scope_': 'mal_mm', 'loss_weight': 2.0}, mmdet.registry.MODELS)
    assert loss(torch.tensor([1.0]), torch.tensor([0.0])).item() == 2.0


def test_modules_of_mmpretrain_are_found_in_the_scope_mal_mm():
    cls = mal_mm.registry.MODELS.get('mmpretrain.VisionTransformer')
    assert cls.__module__ == 'mmpretrain.models.backbones.vision_transformer'


@on_cpu
def test_amp_becomes_fp32_without_an_accelerator():
    cfg = Config(
        dict(
            optim_wrapper=dict(type='AmpOptimWrapper', loss_scale='dynamic', accumulative_counts=2)
        )
    )
    fall_back_to_fp32(cfg)
    assert cfg.optim_wrapper.to_dict() == {'type': 'OptimWrapper', 'accumulative_counts': 2}


def test_a_single_process_is_left_alone():
    cfg = Config(dict(launcher='none'))
    prepare_cpu_ranks(cfg)
    assert cfg.to_dict() == {'launcher': 'none'}


@on_cpu
def test_cpu_ranks_talk_over_gloo_and_keep_the_wrapper_s_options(monkeypatch):
    for key, value in dict(RANK=0, WORLD_SIZE=1, LOCAL_RANK=0, MASTER_ADDR='127.0.0.1').items():
        monkeypatch.setenv(key, str(value))
    monkeypatch.setenv('MASTER_PORT', '0')
    cfg = Config(dict(launcher='pytorch', find_unused_parameters=True))
    try:
        prepare_cpu_ranks(cfg)
        assert torch.distributed.get_backend() == 'gloo'
    finally:
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()
    assert cfg.model_wrapper_cfg.to_dict() == {
        'type': 'MMDistributedDataParallel',
        'broadcast_buffers': False,
        'find_unused_parameters': True,
        'device_ids': None,
    }


@pytest.mark.usefixtures('configs_with_layout')
def test_the_text_of_a_config_follows_its_values():
    cfg = Config(dict(width=1))
    texts = [cfg.pretty_text, cfg.pretty_text]
    cfg.width = 2
    assert [*texts, cfg.pretty_text] == ['width = 1\n', 'width = 1\n', 'width = 2\n']
