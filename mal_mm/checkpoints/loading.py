"""Loading checkpoints: weights only, and loud about what does not fit."""

from __future__ import annotations

import argparse
import io
import os
import pickle
import re
import zipfile
import zlib
from contextlib import nullcontext
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import nn

from . import restricted_pickle
from .errors import CheckpointError, refuse_missing

__all__ = [
    'TRUST_VARIABLE',
    'CheckpointError',
    'check_state_dict',
    'load_checkpoint',
    'load_file',
    'read_state_dict',
]

# paths of files that may hold any Python object, separated as those of PATH
TRUST_VARIABLE = 'MAL_TRUST_CHECKPOINT'


def read_state_dict(path: str | Path) -> dict[str, torch.Tensor]:
    """The tensors of a checkpoint file, never unpickling anything but plain data.

    Args:
        path: a file of torch.save, with the tensors under 'state_dict', 'model' or at the top.

    Raises:
        CheckpointError: missing, truncated, or holding more than weights; says which, and how to
            fix it.
    """
    path = Path(path)
    content = load_file(path, 'cpu')
    if not isinstance(content, dict):
        raise CheckpointError(f'{path}: holds a {type(content).__name__}, no state dict')
    state = content.get('state_dict', content.get('model', content))
    tensors = (
        {key: value for key, value in state.items() if torch.is_tensor(value)}
        if isinstance(state, dict)
        else {}
    )
    if not tensors:
        raise CheckpointError(f'{path}: holds no tensors; found keys {list(content)[:8]}')
    return tensors


def load_file(file: str | Path | BinaryIO, map_location: Any = None) -> Any:
    """What torch.save wrote: tensors and plain values, among them what a Runner keeps of its log.

    Damage is noticed: the parts of the file carry checksums, which torch does not look at.

    Args:
        file: path, or an open file.
        map_location: see torch.load.

    Raises:
        CheckpointError: missing, damaged, or holding more; says what, and how to open it all the
            same.
    """
    path = Path(file) if isinstance(file, (str, os.PathLike)) else None
    name = path or 'the checkpoint'
    if path is not None:
        refuse_missing(path)
    if path is not None and _is_trusted(path):
        return torch.load(path, map_location=map_location, weights_only=False)
    damage = _damage(file)
    if damage:
        raise CheckpointError(f'{name}: is damaged ({damage}); copy or download it again')
    # Lightning may keep the command line beside the weights, as a plain bag (torch >= 2.5)
    safe_globals = getattr(torch.serialization, 'safe_globals', lambda _: nullcontext())
    try:
        if _is_old_torch():
            return torch.load(file, map_location, restricted_pickle, weights_only=False)
        with safe_globals([argparse.Namespace]):
            return torch.load(file, map_location=map_location, weights_only=True)
    except Exception as error:
        head = _head(file)
        reason = _why_unreadable(file, head, error)
        if path is not None and 'could run any code' in reason:
            reason += (
                f'. If you trust whoever made it as you trust a program: {TRUST_VARIABLE}={name}'
            )
        raise CheckpointError(f'{name}: {reason}') from error


def _is_old_torch() -> bool:
    return tuple(int(part) for part in re.findall(r'\d+', torch.__version__)[:2]) < (2, 6)


def _is_trusted(path: Path) -> bool:
    named = filter(None, os.environ.get(TRUST_VARIABLE, '').split(os.pathsep))
    return any(path.resolve() == Path(each).resolve() for each in named)


def _damage(file: str | Path | BinaryIO) -> str | None:
    """Which part of a zip file, as torch has written since 1.6, is not what was put in."""
    try:
        if not zipfile.is_zipfile(file):
            return None  # an older kind, which has no checksums; or none at all
        with zipfile.ZipFile(file) as archive:
            part = archive.testzip()
            return part and f'the checksum of its part {part!r} is wrong'
    except (OSError, zlib.error, zipfile.BadZipFile, EOFError, ValueError, RuntimeError) as error:
        return str(error)
    finally:
        if isinstance(file, io.IOBase):
            file.seek(0)


def _head(file: str | Path | BinaryIO) -> bytes:
    if isinstance(file, (str, os.PathLike)):
        with Path(file).open('rb') as stream:
            return stream.read(512)
    file.seek(0)
    return file.read(512)


def _why_unreadable(file: str | Path | BinaryIO, head: bytes, error: Exception) -> str:
    """What the file is instead; torch's own message advises to switch its protection off."""
    if not head:
        return 'is an empty file; copy or download it again'
    if head.startswith(b'PK\x03\x04'):
        if not zipfile.is_zipfile(file):
            return 'is truncated; copy or download it again'
        with zipfile.ZipFile(file) as archive:
            names = archive.namelist()
        if not any(name.endswith('/data.pkl') for name in names):
            return f'is a zip archive of other things ({", ".join(names[:3])}), no checkpoint'
    forbidden = re.search(r'GLOBAL ([\w.]+)', str(error))
    refused = isinstance(error, pickle.UnpicklingError) and head.startswith(b'PK\x03\x04')
    if forbidden or refused or head[0] == 0x80:
        what = f'the Python object {forbidden[1]}' if forbidden else 'pickled Python objects'
        return (
            f'holds {what}; loading that could run any code, so only files of tensors and plain '
            'values are read'
        )
    if all(byte >= 0x20 or byte in b'\t\n\r' for byte in head):
        start = head.decode(errors='replace').splitlines()[0][:60]
        return (
            f'is a text file ({start!r} ...), no checkpoint; a download may have left a web page '
            'or a pointer in its place'
        )
    return (
        f'cannot be read as a checkpoint ({type(error).__name__}); it is damaged or no torch file'
    )


def check_state_dict(
    model: nn.Module, state: dict[str, torch.Tensor], source: str | Path, fix: str
) -> None:
    """Make sure that a state dict has each of a model's tensors, and no others.

    Args:
        model: the model to load into.
        state: name -> tensor.
        source: the file's name, for the error.
        fix: what to do about it, for the error.

    Raises:
        CheckpointError: tensors are missing, left over, or of another shape.
    """
    own = model.state_dict()
    problems = {
        'missing': [key for key in own if key not in state],
        'left over': [key for key in state if key not in own],
        'of another shape': [
            f'{key} {tuple(state[key].shape)} instead of {tuple(own[key].shape)}'
            for key in own
            if key in state and state[key].shape != own[key].shape
        ],
    }
    parts = [
        f'{len(found)} {what} ({", ".join(found[:3])}{", ..." if len(found) > 3 else ""})'
        for what, found in problems.items()
        if found
    ]
    if parts:
        raise CheckpointError(
            f'{source}: is a checkpoint of another architecture than the config: tensors '
            f'{", ".join(parts)}; {fix}'
        )


def load_checkpoint(model: nn.Module, path: str | Path) -> None:
    """Load every tensor of a model from a checkpoint of the same architecture.

    Args:
        model: receives the weights.
        path: see `read_state_dict`.

    Raises:
        CheckpointError: the file cannot be read, or its tensors do not fit.
    """
    state = read_state_dict(path)
    check_state_dict(model, state, path, 'give the config that it was trained with')
    model.load_state_dict(state)
