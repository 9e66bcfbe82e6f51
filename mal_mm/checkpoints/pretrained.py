"""Pretrained encoders, out of files by their authors or by mmpretrain."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

from mmengine.logging import print_log
from torch import nn

from .dinov2_onnx import ConversionError
from .encoder_keys import Shapes, Tensors
from .errors import CheckpointError
from .loading import read_state_dict
from .local_file import local_file

MIN_SHARE = 0.9  # of the encoder's tensors


def load_pretrained(
    encoder: nn.Module,
    checkpoint: str | Path,
    convert: Callable[[Tensors, Shapes], Tensors],
    prefix: str | None = None,
) -> None:
    """Load an encoder's parameters, and say in the log what was left out.

    Args:
        encoder: receives the weights.
        checkpoint: path or http(s) address, see `local_file`; only tensors are unpickled.
        convert: to mmpretrain's names, one of `encoder_keys`.
        prefix: what the encoder's names begin with inside the file, such as
            'student.encoder.'; None also finds mmpretrain's 'backbone.'.

    Raises:
        CheckpointError: the file is missing or broken, or fewer than 90 % of the encoder's
            tensors are in it with the right shape.
    """
    path = local_file(checkpoint)
    shapes = {name: parameter.shape for name, parameter in encoder.named_parameters()}
    try:
        state = convert(_without_prefix(read_state_dict(path), prefix, path), shapes)
    except ConversionError as error:
        raise CheckpointError(f'{path}: {error}') from error
    fitting = {name: t for name, t in state.items() if shapes.get(name) == t.shape}
    problems, unused = _differences(state, shapes)
    share = f'{len(fitting)} of {len(shapes)} tensors ({len(fitting) / len(shapes):.0%})'
    if len(fitting) < MIN_SHARE * len(shapes):
        raise CheckpointError(
            f'{path}: has only {share} of the {type(encoder).__name__} that the config '
            f'describes, at least {MIN_SHARE:.0%} are wanted: {"; ".join(problems + unused)}; '
            'give a checkpoint of this architecture, or change `arch` and its companions'
        )
    encoder.load_state_dict(fitting, strict=False)
    level = logging.WARNING if problems else logging.INFO
    notes = '; '.join([f'loaded {share} of the encoder', *problems, *unused])
    print_log(f'{path}: {notes}', logger='current', level=level)


def _without_prefix(state: Tensors, prefix: str | None, path: Path) -> Tensors:
    """Keep the names that begin with `prefix`, without it."""
    wanted = ('module.', 'backbone.') if prefix is None else (prefix,)
    for each in wanted:
        inside = {n.removeprefix(each): t for n, t in state.items() if n.startswith(each)}
        if prefix is not None and not inside:
            raise CheckpointError(
                f'{path}: no tensor has a name that begins with {prefix!r}, the `prefix` of '
                f'`init_cfg`; the file has {", ".join(list(state)[:3])}, ...'
            )
        state = inside or state
    return state


def _differences(state: Tensors, shapes: Shapes) -> tuple[list[str], list[str]]:
    """What the encoder misses or has no place for; what is no part of an encoder at all."""
    # a name under one of the encoder's modules tells of another depth, of layer scales, ...
    parts = {name.partition('.')[0] for name in shapes}
    left_over = [name for name in state if name not in shapes]
    problems = {
        'missing': [name for name in shapes if name not in state],
        'of another shape': [
            f'{name} {tuple(tensor.shape)} instead of {tuple(shapes[name])}'
            for name, tensor in state.items()
            if name in shapes and tensor.shape != shapes[name]
        ],
        'unknown': [name for name in left_over if name.partition('.')[0] in parts],
    }
    unused = {'not used': [name for name in left_over if name.partition('.')[0] not in parts]}
    return _listing(problems), _listing(unused)


def _listing(groups: dict[str, list[str]]) -> list[str]:
    return [
        f'{len(names)} {what} ({", ".join(names[:3])}{", ..." if len(names) > 3 else ""})'
        for what, names in groups.items()
        if names
    ]
