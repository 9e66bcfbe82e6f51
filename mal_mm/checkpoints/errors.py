"""What goes wrong with checkpoints; apart, since those who catch it need no torch."""

from __future__ import annotations

from pathlib import Path


class CheckpointError(RuntimeError):
    """The file is not a checkpoint, or one of another model."""


def refuse_missing(checkpoint: str | Path) -> None:
    """Raise CheckpointError where there is no such file."""
    if not Path(checkpoint).is_file():
        raise CheckpointError(f'{checkpoint}: no such checkpoint file')
