"""Which checkpoint a training goes on from."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path


def checkpoint_to_resume(work_dir: str | Path, checkpoint: str | None = None) -> str | None:
    """The file that `--resume` goes on from.

    Args:
        work_dir: folder of the run; `last_checkpoint` in it names the latest. A folder that was
            moved is found again.
        checkpoint: a file or address that the user names instead.

    Returns:
        Path or address; None if the folder has no checkpoint yet.

    Raises:
        ValueError: the file is missing or cut short, and which others are whole.
    """
    if checkpoint is not None and '://' in checkpoint:
        return checkpoint
    folder = Path(work_dir)
    named = checkpoint
    if named is None:
        from mmengine.runner import find_latest_checkpoint  # torch

        named = find_latest_checkpoint(str(folder))
        if named is None:
            return None
    path = Path(named)
    if checkpoint is None and not path.is_file():
        path = folder / path.name
    if zipfile.is_zipfile(path):  # as torch saves them, with the table of contents at the end
        return str(path)
    whole = sorted(filter(zipfile.is_zipfile, folder.glob('*.pth')), key=os.path.getmtime)
    fix = (
        f'resume from the newest whole one with --resume {whole[-1]}'
        if whole
        else f'{folder} has no whole one; start again without --resume'
    )
    source = '' if checkpoint else f', named by {folder / "last_checkpoint"},'
    state = 'is cut short or no checkpoint' if path.is_file() else 'does not exist'
    raise ValueError(f'checkpoint {named!r}{source} {state}; {fix}')
