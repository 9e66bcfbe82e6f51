"""Mixed precision where there is a GPU."""

from __future__ import annotations

import torch
from mmdet.registry import OPTIM_WRAPPERS
from mmengine.optim import AmpOptimWrapper, OptimWrapper


@OPTIM_WRAPPERS.register_module()
def CudaAmpOptimWrapper(
    loss_scale: str | float = 'dynamic', dtype: str | None = None, **kwargs: object
) -> OptimWrapper:
    """mmengine's AmpOptimWrapper on a GPU, its plain OptimWrapper on a CPU.

    AmpOptimWrapper refuses to be built without an accelerator, and one config is to run on a
    laptop and on 8 GPUs.

    Args:
        loss_scale: of gradients, see mmengine's AmpOptimWrapper.
        dtype: 'float16' (also None) or 'bfloat16', which has the range of float32 and 3 digits.
        **kwargs: see mmengine's OptimWrapper.
    """
    if torch.cuda.is_available():
        return AmpOptimWrapper(loss_scale=loss_scale, dtype=dtype, **kwargs)
    return OptimWrapper(**kwargs)
