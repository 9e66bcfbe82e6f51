"""Files of detectron2: torch's, and pickled dictionaries of numpy arrays (*.pkl)."""

from __future__ import annotations

import _codecs
import pickle
from collections import OrderedDict
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from .errors import CheckpointError, refuse_missing
from .loading import read_state_dict

# All that pickled arrays refer to. numpy moved its two functions between versions; both are asked
# for by name alone, and nothing else of those modules is handed out.
_SAFE = {
    'ndarray': np.ndarray,
    'dtype': np.dtype,
    '_reconstruct': np.zeros(0).__reduce__()[0],
    '_frombuffer': np.zeros(0).__reduce_ex__(5)[0],
}


class _ArrayUnpickler(pickle.Unpickler):
    """Reads plain values and numpy arrays; refuses all that could run code."""

    def find_class(self, module: str, name: str) -> object:
        if module.split('.')[0] == 'numpy' and name in _SAFE:
            return _SAFE[name]
        if (module, name) == ('collections', 'OrderedDict'):
            return OrderedDict
        if (module, name) == ('_codecs', 'encode'):  # bytes, in old protocols
            return _codecs.encode
        raise pickle.UnpicklingError(f'it holds the Python object {module}.{name}')


def read_detectron2(path: str | Path) -> dict[str, Tensor]:
    """The tensors of a checkpoint of detectron2; only plain data is unpickled.

    Args:
        path: *.pkl, a pickled dictionary of numpy arrays; any other name: a file of torch.save.
            The tensors are under 'model' or at the top.

    Raises:
        CheckpointError: missing, damaged, or holding more than arrays.
    """
    path = Path(path)
    if path.suffix != '.pkl':
        return read_state_dict(path)
    refuse_missing(path)
    try:
        with path.open('rb') as file:
            # detectron2's own were pickled by Python 2
            content = _ArrayUnpickler(file, encoding='latin1').load()
    except Exception as error:
        raise CheckpointError(
            f'{path}: cannot be read: {error}; only pickles of numpy arrays and plain values are, '
            'since others could run any code'
        ) from error
    state = content.get('model', content) if isinstance(content, dict) else None
    if not isinstance(state, dict):
        raise CheckpointError(f'{path}: holds a {type(content).__name__}, no state dict')
    arrays = {
        key: value
        for key, value in state.items()
        if isinstance(value, np.ndarray) and value.dtype.kind in 'biuf'
    }
    if not arrays:
        raise CheckpointError(f'{path}: holds no arrays; found keys {list(state)[:8]}')
    return {key: torch.from_numpy(array.copy()) for key, array in arrays.items()}  # in C order
