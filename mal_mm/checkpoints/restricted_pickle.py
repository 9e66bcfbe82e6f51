"""A pickle module for torch.load that hands out nothing but tensors and plain values.

For torch before 2.6: its own protection (`weights_only=True`) cannot be told to trust what a
Runner keeps of its log, which since then `compat.safe_globals` does.
"""

from __future__ import annotations

import _codecs
import argparse
import pickle
from collections import OrderedDict
from pickle import UnpicklingError  # noqa: F401  (torch.load asks the module for it)
from typing import Any

import numpy as np
import torch

_TORCH = {
    **{
        ('torch._utils', name): getattr(torch._utils, name)
        for name in ('_rebuild_tensor', '_rebuild_tensor_v2', '_rebuild_parameter')
    },
    **{
        ('torch', str(dtype).removeprefix('torch.')): dtype
        for dtype in vars(torch).values()
        if isinstance(dtype, torch.dtype)
    },
    ('torch', 'Size'): torch.Size,
    ('torch', 'device'): torch.device,
}
_PLAIN = {
    ('collections', 'OrderedDict'): OrderedDict,
    ('argparse', 'Namespace'): argparse.Namespace,
    ('_codecs', 'encode'): _codecs.encode,  # bytes, in old protocols
    **{('builtins', each.__name__): each for each in (set, frozenset, slice, complex, bytearray)},
}


class Unpickler(pickle.Unpickler):
    """Refuses all names but those above, numpy's arrays, and a HistoryBuffer of mmengine."""

    def find_class(self, module: str, name: str) -> Any:
        module = {'__builtin__': 'builtins'}.get(module, module)
        found = _TORCH.get((module, name)) or _PLAIN.get((module, name)) or _numpy(module, name)
        if found is None and module == 'torch' and name.endswith('Storage'):
            found = getattr(torch, name, None)
        if (module, name) == ('mmengine.logging.history_buffer', 'HistoryBuffer'):
            from mmengine.logging import HistoryBuffer

            found = HistoryBuffer
        if (module, name) == ('builtins', 'getattr'):
            from .safe_globals import _statistics_method

            found = _statistics_method
        if found is None:
            raise pickle.UnpicklingError(f'GLOBAL {module}.{name}')
        return found


def load(file: Any, **options: Any) -> Any:
    """As pickle.load."""
    return Unpickler(file, **options).load()


def _numpy(module: str, name: str) -> Any:
    if module.split('.')[0] != 'numpy':
        return None
    names: dict[str, Any] = {
        'ndarray': np.ndarray,
        'dtype': np.dtype,
        '_reconstruct': np.zeros(0).__reduce__()[0],
        'scalar': np.float64(0).__reduce__()[0],
    }
    if module == 'numpy.dtypes' and name.endswith('DType'):
        return getattr(np.dtypes, name, None)
    return names.get(name)
