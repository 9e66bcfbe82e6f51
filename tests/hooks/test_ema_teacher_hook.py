"""EMATeacherHook by hand, and through mmengine's Runner."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from mmdet.registry import DATASETS, HOOKS, MODELS
from mmengine.config import Config
from mmengine.model import MMDistributedDataParallel
from mmengine.runner import Runner
from tiny_labeler import model_config, shrink
from torch import nn

from mal_mm.hooks import EMATeacherHook
from mal_mm.samples import make_shapes


class Pair(nn.Module):
    """Student and teacher of one weight and one buffer each."""

    def __init__(self, student: float, teacher: float) -> None:
        super().__init__()
        for name, value in (('student', student), ('teacher', teacher)):
            part = nn.Linear(1, 1, bias=False)
            nn.init.constant_(part.weight, value)
            part.register_buffer('seen', torch.tensor(value))
            setattr(self, name, part)


def after_iteration(hook: EMATeacherHook, model: nn.Module, iteration: int) -> None:
    hook.after_train_iter(SimpleNamespace(model=model, iter=iteration), batch_idx=iteration)


def test_teacher_moves_by_the_rest_of_the_momentum():
    model = Pair(student=3.0, teacher=1.0)
    hook = HOOKS.build({'type': 'EMATeacherHook', 'momentum': 0.75})
    after_iteration(hook, model, 0)
    assert model.teacher.weight.item() == 0.75 * 1 + 0.25 * 3
    after_iteration(hook, model, 1)
    assert model.teacher.weight.item() == 0.75 * 1.5 + 0.25 * 3
    assert model.student.weight.item() == 3
    assert model.teacher.weight.grad_fn is None


def test_default_momentum_is_the_papers():
    model = Pair(student=1.0, teacher=0.0)
    after_iteration(EMATeacherHook(), model, 0)
    assert model.teacher.weight.item() == pytest.approx(1 - 0.996)


def test_buffers_are_copied():
    model = Pair(student=3.0, teacher=1.0)
    after_iteration(EMATeacherHook(), model, 0)
    assert model.teacher.seen.item() == 3


def test_teacher_moves_every_interval_iterations():
    model = Pair(student=3.0, teacher=1.0)
    hook = EMATeacherHook(momentum=0.5, interval=2)
    moved = []
    for iteration in range(4):
        before = model.teacher.weight.item()
        after_iteration(hook, model, iteration)
        moved.append(model.teacher.weight.item() != before)
    assert moved == [False, True, False, True]


def test_frozen_encoder_that_both_share_stays_as_it_is():
    config = model_config()
    config['network']['encoder']['frozen'] = True
    model = MODELS.build(config)
    before = {key: value.clone() for key, value in model.student.state_dict().items()}
    teacher = {key: value.clone() for key, value in model.teacher.state_dict().items()}
    after_iteration(EMATeacherHook(momentum=0.5), model, 0)
    for key, value in model.student.state_dict().items():
        assert torch.equal(value, before[key])
    for key, value in model.teacher.state_dict().items():
        torch.testing.assert_close(value, (teacher[key] + before[key]) / 2)


def test_model_without_student_and_teacher_is_refused():
    runner = SimpleNamespace(model=nn.Linear(1, 1), iter=0)
    with pytest.raises(TypeError, match='needs a model with `student` and `teacher`, got Linear'):
        EMATeacherHook().before_train(runner)


@pytest.mark.parametrize('momentum', [0, 1, 1.5, -0.1])
def test_momentum_outside_the_open_unit_interval_is_refused(momentum):
    with pytest.raises(ValueError, match=r'`momentum` must be in \(0, 1\)'):
        EMATeacherHook(momentum=momentum)


# -- in the Runner --------------------------------------------------------------------------------


@pytest.fixture(scope='module')
def data_root(tmp_path_factory):
    root = tmp_path_factory.mktemp('shapes')
    make_shapes(root, num_images=2, num_unseen=0, size=64)
    return root


@pytest.fixture
def config(data_root, tmp_path, repo_root):
    """Two iterations an epoch, every one the same; a checkpoint after each epoch."""
    cfg = Config.fromfile(repo_root / 'configs' / 'mal' / 'vit_mae_base.py')
    shrink(cfg, data_root, tmp_path / 'work')
    cfg.model.data_preprocessor.update(jitter=None, grey_prob=0, blur_prob=0)
    cfg.train_dataloader.sampler.shuffle = False
    dataset = cfg.train_dataloader.dataset
    dataset.views_per_box = 1
    # a mirrored view would come from torch's state, which a resumed run does not have
    dataset.pipeline = [step for step in dataset.pipeline if step.type != 'RandomFlip']
    dataset.dataset.indices = 1  # the first image
    cfg.optim_wrapper.optimizer = {'type': 'SGD', 'lr': 0.5}
    cfg.param_scheduler = []
    cfg.model.update(mil_ramp_iters=0, crf_ramp_iters=0)
    cfg.custom_hooks = [{'type': 'EMATeacherHook', 'momentum': 0.9}]
    cfg.log_level = 'ERROR'
    return cfg


def train(cfg: Config, name: str, max_epochs: int, **changes) -> nn.Module:
    cfg = Config(cfg.to_dict())
    cfg.update(changes)
    cfg.experiment_name = f'{Path(cfg.work_dir).parent.name}_{name}'
    cfg.work_dir = f'{cfg.work_dir}_{name}'
    cfg.train_cfg.max_epochs = max_epochs
    runner = Runner.from_cfg(cfg)
    runner.train()
    return runner.model


def test_load_from_keeps_the_teacher_of_the_checkpoint(config, tmp_path):
    torch.manual_seed(0)
    loaded = MODELS.build(config.model)
    with torch.no_grad():
        for parameter in loaded.teacher.parameters():
            parameter.add_(torch.randn(parameter.shape))
    torch.save({'state_dict': loaded.state_dict()}, tmp_path / 'loaded.pth')

    boxes = DATASETS.build(config.train_dataloader.dataset)
    config.train_dataloader.batch_size = len(boxes)  # one iteration
    model = train(config, 'loaded', 1, load_from=str(tmp_path / 'loaded.pth'))
    student = model.student.state_dict()
    moved = 0.0
    for key, before in loaded.teacher.state_dict().items():
        after = model.teacher.state_dict()[key]
        torch.testing.assert_close(after, 0.9 * before + 0.1 * student[key])
        moved += (student[key] - loaded.student.state_dict()[key]).abs().sum().item()
    assert moved > 0


def test_resumed_run_ends_with_the_teacher_of_an_uninterrupted_one(config):
    whole = train(config, 'whole', 2)
    train(config, 'cut', 1)
    checkpoint = f'{config.work_dir}_cut/epoch_1.pth'
    resumed = train(config, 'resumed', 2, load_from=checkpoint, resume=True)
    stopped = torch.load(checkpoint, weights_only=False)['state_dict']
    for key, value in whole.state_dict().items():
        torch.testing.assert_close(resumed.state_dict()[key], value)
    key = 'teacher.decoder.instance_head.fcs.0.weight'
    assert not torch.allclose(stopped[key], whole.state_dict()[key], atol=1e-7)


def test_teacher_inside_a_distributed_wrapper_moves(tmp_path):
    torch.distributed.init_process_group(
        'gloo', init_method=f'file://{tmp_path / "store"}', rank=0, world_size=1
    )
    try:
        model = Pair(student=3.0, teacher=1.0)
        wrapper = MMDistributedDataParallel(model)
        hook = EMATeacherHook(momentum=0.75)
        hook.before_train(SimpleNamespace(model=wrapper, iter=0))
        after_iteration(hook, wrapper, 0)
        assert model.teacher.weight.item() == 1.5
    finally:
        torch.distributed.destroy_process_group()
