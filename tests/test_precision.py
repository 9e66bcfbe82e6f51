from __future__ import annotations

import pytest
import torch
from torch import nn

from mal_mm.precision import autocast, gains_by_half

CPU = torch.device('cpu')


@pytest.fixture(scope='module')
def large():
    return nn.Linear(1000, 1000)


def product_type(precision: str, network: nn.Module) -> torch.dtype:
    with autocast(precision, network, CPU):
        return network(torch.ones(1, network.in_features)).dtype


def test_a_named_precision_is_taken(large):
    assert product_type('fp32', large) == torch.float32
    assert product_type('bf16', large) == torch.bfloat16


def test_auto_takes_what_the_processor_gains_by(large):
    expected = torch.bfloat16 if gains_by_half(CPU) else torch.float32
    assert product_type('auto', large) == expected
    assert not gains_by_half(torch.device('meta'))
    assert not gains_by_half(CPU, torch.float16)


def test_auto_leaves_a_small_network_alone():
    small = nn.Linear(10, 10)
    assert product_type('auto', small) == torch.float32
    assert product_type('bf16', small) == torch.bfloat16


def test_fp32_within_mixed_precision_is_fp32(large):
    with torch.autocast('cpu', torch.bfloat16):
        assert product_type('fp32', large) == torch.float32


def test_what_cannot_be_is_refused(large):
    with pytest.raises(ValueError, match=r"`precision` must be one of .*, got 'fp8'"):
        autocast('fp8', large, CPU)
    with pytest.raises(ValueError, match="'fp16' is for GPUs; on a CPU take 'auto', 'bf16'"):
        autocast('fp16', large, CPU)
