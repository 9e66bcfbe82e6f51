"""Mixed precision where the hardware gains by it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from mmdet.registry import OPTIM_WRAPPERS
from mmengine.optim import AmpOptimWrapper, OptimWrapper
from torch import nn

from ..precision import gains_by_half, is_large


class BFloat16CpuOptimWrapper(OptimWrapper):
    """mmengine's OptimWrapper with forward passes in bfloat16; weights and updates are float32.

    mmengine's AmpOptimWrapper refuses to be built on a CPU. bfloat16 has the range of float32, so
    that no loss has to be scaled.
    """

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """As mmengine's."""
        with super().optim_context(model), torch.autocast('cpu', torch.bfloat16):
            yield


@OPTIM_WRAPPERS.register_module(name=['MixedPrecisionOptimWrapper', 'CudaAmpOptimWrapper'])
def MixedPrecisionOptimWrapper(
    loss_scale: str | float | dict = 'dynamic', dtype: str | None = None, **kwargs: Any
) -> OptimWrapper:
    """One config on a laptop and on 8 GPUs.

    On a GPU mmengine's AmpOptimWrapper. On a CPU with instructions for bfloat16 mixed precision
    too, unless what is trained is so small that it gains nothing; else the plain OptimWrapper.
    'CudaAmpOptimWrapper' was its name in mal_mm 0.1.

    Args:
        loss_scale: of gradients on a GPU, see mmengine's AmpOptimWrapper; 'dynamic' is none for
            bfloat16.
        dtype: on a GPU 'float16' (also None) or 'bfloat16', which has the range of float32 and 3
            digits. 'float32': no mixed precision anywhere.
        **kwargs: see mmengine's OptimWrapper.
    """
    if dtype == 'float32':
        return OptimWrapper(**kwargs)
    if torch.cuda.is_available():
        if dtype == 'bfloat16' and loss_scale == 'dynamic':
            # nothing to scale in its range, and the scaler waits for the GPU in every step
            loss_scale = dict(enabled=False)
        return AmpOptimWrapper(loss_scale=loss_scale, dtype=dtype, **kwargs)
    optimizer = kwargs['optimizer']
    trained = (each for group in optimizer.param_groups for each in group['params'])
    if gains_by_half(torch.device('cpu')) and is_large(trained):
        return BFloat16CpuOptimWrapper(**kwargs)
    return OptimWrapper(**kwargs)
