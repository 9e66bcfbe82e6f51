from __future__ import annotations

import pytest
import torch
from mmdet.registry import OPTIM_WRAPPERS
from mmengine.optim import AmpOptimWrapper, OptimWrapper, build_optim_wrapper
from mmengine.registry import DefaultScope
from torch import nn

from mal_mm.precision import gains_by_half
from mal_mm.runner.mixed_precision_optim_wrapper import BFloat16CpuOptimWrapper

CONFIG = {
    'type': 'MixedPrecisionOptimWrapper',
    'optimizer': {'type': 'AdamW', 'lr': 0.1, 'betas': (0.9, 0.9), 'weight_decay': 5e-4},
    'clip_grad': {'max_norm': 1.0},
}


@pytest.fixture(autouse=True)
def mmdet_scope():
    """As under the Runner, whose configs say default_scope = 'mmdet'."""
    with DefaultScope.overwrite_default_scope('mmdet'):
        yield


def make_model() -> nn.Linear:
    torch.manual_seed(0)
    return nn.Linear(3, 1)


@pytest.mark.skipif(torch.cuda.is_available(), reason='this machine has a GPU')
@pytest.mark.parametrize('options', [{}, {'loss_scale': 512.0, 'dtype': 'float16'}])
def test_of_a_small_network_on_a_cpu_it_is_the_plain_wrapper_of_the_same_optimiser(options):
    wrapper = build_optim_wrapper(make_model(), {**CONFIG, **options})
    assert type(wrapper) is OptimWrapper
    assert isinstance(wrapper.optimizer, torch.optim.AdamW)
    assert wrapper.optimizer.defaults['betas'] == (0.9, 0.9)
    assert wrapper.clip_grad_kwargs == {'max_norm': 1.0}


@pytest.mark.skipif(torch.cuda.is_available(), reason='this machine has a GPU')
def test_a_small_network_on_a_cpu_steps_in_single_precision():
    model = make_model()
    wrapper = build_optim_wrapper(model, CONFIG)
    before = model.weight.clone()
    with wrapper.optim_context(model):
        loss = model(torch.ones(2, 3)).square().mean()
    assert loss.dtype == torch.float32
    wrapper.update_params(loss)
    # Adam's first step is the learning rate, on top of the decay 1 - lr * 5e-4
    step = (model.weight - before * (1 - 0.1 * 5e-4)).abs()
    torch.testing.assert_close(step, torch.full_like(step, 0.1), atol=1e-4, rtol=0)


@pytest.mark.skipif(torch.cuda.is_available(), reason='this machine has a GPU')
def test_a_large_network_steps_in_bfloat16_where_the_processor_has_it():
    wrapper = build_optim_wrapper(nn.Linear(1000, 1000), CONFIG)
    expected = BFloat16CpuOptimWrapper if gains_by_half(torch.device('cpu')) else OptimWrapper
    assert type(wrapper) is expected
    plain = build_optim_wrapper(nn.Linear(1000, 1000), {**CONFIG, 'dtype': 'float32'})
    assert type(plain) is OptimWrapper


def test_in_bfloat16_products_are_halved_and_the_step_is_that_of_float32():
    def step(kind: type[OptimWrapper]) -> tuple[torch.dtype, torch.Tensor]:
        model = make_model()
        wrapper = kind(torch.optim.SGD(model.parameters(), lr=0.1))
        with wrapper.optim_context(model):
            product = model(torch.tensor([[0.3, 0.7, -0.2]]))
        wrapper.update_params(product.float().square().mean())
        return product.dtype, model.weight.detach()

    (half, moved), (single, exact) = step(BFloat16CpuOptimWrapper), step(OptimWrapper)
    assert (half, single) == (torch.bfloat16, torch.float32)
    assert moved.dtype == torch.float32
    torch.testing.assert_close(moved, exact, rtol=0, atol=2e-3)  # of weights up to 0.6


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a GPU')
def test_on_a_gpu_it_is_the_mixed_precision_wrapper():
    wrapper = build_optim_wrapper(make_model().cuda(), {**CONFIG, 'loss_scale': 512.0})
    assert type(wrapper) is AmpOptimWrapper
    assert wrapper.loss_scaler.is_enabled()
    wide = build_optim_wrapper(make_model().cuda(), {**CONFIG, 'dtype': 'bfloat16'})
    assert not wide.loss_scaler.is_enabled()


def test_it_is_registered_where_configs_look():
    assert OPTIM_WRAPPERS.get('MixedPrecisionOptimWrapper') is not None


def test_configs_of_the_first_version_find_it_by_its_old_name():
    old = OPTIM_WRAPPERS.get('CudaAmpOptimWrapper')
    assert old is OPTIM_WRAPPERS.get('MixedPrecisionOptimWrapper')
