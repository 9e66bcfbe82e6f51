"""Loading checkpoints: weights only, and loud about what does not fit."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn


class CheckpointError(RuntimeError):
    """The file is not a checkpoint, or one of another model."""


def read_state_dict(path: str | Path) -> dict[str, torch.Tensor]:
    """The tensors of a checkpoint file, never unpickling anything but plain data.

    Args:
        path: a file of torch.save, with the tensors under 'state_dict' or at the top.

    Raises:
        CheckpointError: missing, truncated, or holding more than weights; says which and the cure.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f'{path}: no such checkpoint file')
    try:
        content = torch.load(path, map_location='cpu', weights_only=True)
    except Exception as error:
        first_line = (
            str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        )
        raise CheckpointError(
            f'{path}: cannot be read as a checkpoint ({first_line[:200]}); it is truncated, no torch file, or holds '
            'Python objects beside its weights, which are never loaded'
        ) from error
    if not isinstance(content, dict):
        raise CheckpointError(f'{path}: holds a {type(content).__name__}, no state dict')
    state = content.get('state_dict', content)
    tensors = (
        {key: value for key, value in state.items() if torch.is_tensor(value)}
        if isinstance(state, dict)
        else {}
    )
    if not tensors:
        raise CheckpointError(f'{path}: holds no tensors; found keys {list(content)[:8]}')
    return tensors


def load_checkpoint(model: nn.Module, path: str | Path) -> None:
    """Load every tensor of a model from a checkpoint of the same architecture.

    Args:
        model: receives the weights.
        path: see `read_state_dict`.

    Raises:
        CheckpointError: the file cannot be read, or tensors are missing, left over, or of another shape.
    """
    state = read_state_dict(path)
    own = model.state_dict()
    missing = [key for key in own if key not in state]
    extra = [key for key in state if key not in own]
    shapes = [
        f'{key} {tuple(state[key].shape)} instead of {tuple(own[key].shape)}'
        for key in own
        if key in state and state[key].shape != own[key].shape
    ]
    if missing or extra or shapes:
        parts = [
            f'{len(problem)} {what} ({", ".join(problem[:3])}{", ..." if len(problem) > 3 else ""})'
            for problem, what in (
                (missing, 'missing'),
                (extra, 'left over'),
                (shapes, 'of another shape'),
            )
            if problem
        ]
        raise CheckpointError(
            f'{path}: is a checkpoint of another architecture than the config: tensors {", ".join(parts)}; '
            'give the config that it was trained with'
        )
    model.load_state_dict(state)
