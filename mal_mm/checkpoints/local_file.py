"""Where a checkpoint that is named by an address lies on this machine."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlparse

from mmengine.logging import print_log

from ..formats.atomic import atomic_write
from .errors import CheckpointError


def is_address(checkpoint: str | Path) -> bool:
    """Whether it is fetched over http(s)."""
    return urlparse(str(checkpoint)).scheme in ('http', 'https')


def hub_checkpoints() -> Path:
    """torch hub's folder of checkpoints; torch, which takes a second, is not imported to ask."""
    torch = sys.modules.get('torch')
    if torch is not None:
        return Path(torch.hub.get_dir(), 'checkpoints')
    return Path(default_hub(os.environ), 'checkpoints')


def default_hub(environment: Mapping[str, str]) -> Path:
    """What `torch.hub.get_dir` says where `torch.hub.set_dir` has not been called."""
    cache = environment.get('XDG_CACHE_HOME', '~/.cache')
    return Path(environment.get('TORCH_HOME', str(Path(cache, 'torch')))).expanduser() / 'hub'


def cached_path(address: str, folder: str | Path | None = None) -> Path:
    """Where the file of an address is kept, or would be: under its own name, if that is free.

    Addresses often end in the same name (.../small/model.pth, .../large/model.pth), so a note
    on each file says where it came from. One without a note was put there by a person.

    Args:
        address: http(s).
        folder: None: torch hub's folder of checkpoints, which TORCH_HOME moves.
    """
    folder = Path(folder or hub_checkpoints())
    name = Path(urlparse(address).path).name or 'checkpoint.pth'
    path = folder / name
    note = _note(path)
    if not path.is_file() or not note.is_file() or note.read_text() == address:
        return path
    return folder / f'{hashlib.sha256(address.encode()).hexdigest()[:12]}-{name}'


def _note(path: Path) -> Path:
    folder = path.parent
    return folder.with_name(f'{folder.name}.addresses') / path.name


def local_file(checkpoint: str | Path) -> Path:
    """Where a checkpoint lies on this machine, after a download if need be.

    On each machine the first process downloads and the others wait for it.

    Raises:
        CheckpointError: the download failed.
    """
    if not is_address(checkpoint):
        return Path(checkpoint)
    from mmengine.dist import barrier

    try:
        if int(os.environ.get('LOCAL_RANK', 0)) == 0:
            download(str(checkpoint))
    finally:
        # also after a failure, lest the others wait for ever
        barrier()
    return cached_path(str(checkpoint))


def download(address: str, folder: str | Path | None = None) -> Path:
    """Fetch a file unless it is there; returns its path.

    Raises:
        CheckpointError: it cannot be fetched.
    """
    path = cached_path(address, folder)
    if path.is_file():
        return path
    import torch

    try:
        print_log(f'downloading {address} to {path}', logger='current')
        path.parent.mkdir(parents=True, exist_ok=True)
        _note(path).parent.mkdir(exist_ok=True)
        with atomic_write(_note(path)) as note:  # first, lest a kill leave a file without one
            note.write(address)
        torch.hub.download_url_to_file(address, str(path))
    except OSError as error:
        raise CheckpointError(
            f'{address}: cannot be downloaded ({error}); fetch it on another machine and put '
            f'it into {path.parent} as {path.name}, or give its path instead of the address'
        ) from error
    return path
