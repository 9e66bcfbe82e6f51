"""Runner checkpoints under torch >= 2.6, whose torch.load unpickles only what it trusts."""

from __future__ import annotations

import numpy as np


def allow_runner_checkpoints() -> None:
    """Trust the plain data types that mmengine's Runner puts into a checkpoint.

    mmengine 0.10.7 calls `torch.load(file)`; from torch 2.6 on that refuses a Runner checkpoint
    for the HistoryBuffers of its message hub (numpy arrays inside). They are named here instead
    of switching `weights_only` off, which would let a checkpoint run any code.
    """
    import torch
    from mmengine.logging import HistoryBuffer
    from mmengine.utils import digit_version

    if digit_version(torch.__version__) < digit_version('2.6'):
        return
    # A checkpoint names the place of the function in the numpy it was made with.
    core = np._core if int(np.__version__.split('.')[0]) >= 2 else np.core
    numpy_functions = [
        (function, f'{place}.multiarray.{function.__name__}')
        for function in (core.multiarray._reconstruct, core.multiarray.scalar)
        for place in ('numpy.core', 'numpy._core')
    ]
    numpy_dtypes = {type(np.dtype(code)) for code in '?bBhHiIlLqQefd'}
    torch.serialization.add_safe_globals(
        [HistoryBuffer, np.ndarray, np.dtype, *numpy_dtypes, *numpy_functions]
    )
