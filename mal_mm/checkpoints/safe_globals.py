"""Runner checkpoints under torch >= 2.6, whose torch.load unpickles only what it trusts."""

from __future__ import annotations

import pickle
from collections.abc import Callable


def allow_runner_checkpoints() -> None:
    """Trust the plain data types that mmengine's Runner puts into a checkpoint.

    mmengine 0.10.7 calls `torch.load(file)`; from torch 2.6 on that refuses a Runner checkpoint
    for the HistoryBuffers of its message hub (numpy arrays and methods inside). They are named
    here instead of switching `weights_only` off, which would let a checkpoint run any code.
    """
    import numpy as np
    import torch
    from mmengine.logging import HistoryBuffer
    from mmengine.utils import digit_version

    if digit_version(torch.__version__) < digit_version('2.6'):
        return
    # A checkpoint names the place of the function in the numpy it was made with.
    core = getattr(np, '_core' if int(np.__version__.split('.')[0]) >= 2 else 'core')
    named = [
        (function, f'{place}.multiarray.{function.__name__}')
        for function in (core.multiarray._reconstruct, core.multiarray.scalar)
        for place in ('numpy.core', 'numpy._core')
    ]
    types = {HistoryBuffer, np.ndarray, np.dtype, *(type(np.dtype(c)) for c in '?bBhHiIlLqQefd')}
    # Pairs, though the name is the type's own: onedl's mmengine lists the bare types while it
    # loads a checkpoint, and afterwards strikes from torch's list whatever equals one of its own.
    named += [(each, f'{each.__module__}.{each.__qualname__}') for each in types]
    named.append((_statistics_method, 'builtins.getattr'))
    torch.serialization.add_safe_globals(named)


def _statistics_method(owner: type, name: str) -> Callable:
    """What a HistoryBuffer's pickle needs of getattr, and nothing more.

    It stores its methods min, max, current and mean as getattr(HistoryBuffer, name). The real
    getattr would hand a malicious checkpoint any attribute, and with it any code.
    """
    from mmengine.logging import HistoryBuffer

    if owner is not HistoryBuffer or name not in ('min', 'max', 'current', 'mean'):
        raise pickle.UnpicklingError(f'a checkpoint may not take {name!r} of {owner!r}')
    return getattr(HistoryBuffer, name)
