"""In which precision networks compute: asked for by name, or what the hardware gains by.

Weights stay float32 everywhere; autocast makes the products of layers half precision.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn

PRECISIONS = ('auto', 'fp32', 'bf16', 'fp16')
# networks of fewer parameters gain nothing: what they spend is not spent in products
_LARGE = 10**6
_DTYPES = {'bf16': torch.bfloat16, 'fp16': torch.float16}


def check_precision(precision: str) -> str:
    """The name, if it is one of `PRECISIONS`.

    Raises:
        ValueError: it is none.
    """
    if precision not in PRECISIONS:
        raise ValueError(f'`precision` must be one of {PRECISIONS}, got {precision!r}')
    return precision


def autocast(
    precision: str,
    network: nn.Module,
    device: torch.device,
    on_gpu: torch.dtype = torch.bfloat16,
) -> torch.autocast:
    """Where `network` computes in the precision that was asked for.

    Args:
        precision: 'fp32', 'bf16' or 'fp16'; 'auto': half precision on GPUs, bf16 on CPUs that
            have instructions for it, unless the network is so small that it gains nothing.
        network: what computes.
        device: where.
        on_gpu: what 'auto' means there.

    Raises:
        ValueError: 'fp16' on a CPU, which has no instructions for it.
    """
    check_precision(precision)
    if precision == 'fp16' and device.type == 'cpu':
        raise ValueError("`precision` 'fp16' is for GPUs; on a CPU take 'auto', 'bf16' or 'fp32'")
    dtype = _DTYPES.get(precision, on_gpu if device.type == 'cuda' else torch.bfloat16)
    halved = precision in _DTYPES or (
        precision == 'auto' and gains_by_half(device, dtype) and is_large(network.parameters())
    )
    return torch.autocast(device.type, dtype, enabled=halved)


def is_large(parameters: Iterable[nn.Parameter]) -> bool:
    """Whether a network with these parameters is spending its time in products."""
    # asked for every batch: of a large network the first few tell
    count = 0
    for parameter in parameters:
        count += parameter.numel()
        if count >= _LARGE:
            return True
    return False


def gains_by_half(device: torch.device, dtype: torch.dtype = torch.bfloat16) -> bool:
    """Whether products in half precision are quicker than in float32 there."""
    if device.type == 'cuda':
        return dtype != torch.bfloat16 or torch.cuda.is_bf16_supported()
    if device.type != 'cpu' or dtype != torch.bfloat16:
        return False
    # without these instructions bfloat16 is emulated, and slower
    asked = (
        getattr(torch.cpu, f'_is_{name}_supported', None) for name in ('avx512_bf16', 'amx_tile')
    )
    return any(ask is not None and ask() for ask in asked)
