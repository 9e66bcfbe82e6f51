"""Checkpoints through mmengine: weights and plain values only, wherever they come from.

mmengine 0.10.12 of onedl loads a file anew without any protection when the safe load refuses it;
0.10.7 relies on torch's default, which protects from torch 2.6 on alone; addresses (`https://`,
`torchvision://`, `open-mmlab://`) are loaded unprotected by torch.hub itself. All of them end in
the functions that are replaced here, whichever tool runs, once mal_mm is imported.
"""

from __future__ import annotations

from typing import Any


def load_checkpoints_safely() -> None:
    """Let mmengine's loaders read through `checkpoints.loading.load_file`."""
    from mmengine.runner import checkpoint

    if isinstance(checkpoint.torch, _SafeTorch):
        return
    checkpoint.torch = _SafeTorch(checkpoint.torch)
    checkpoint.load_url = _load_url
    # onedl's also trusts the whole of getattr while it loads
    if hasattr(checkpoint, '_safe_torch_load'):
        checkpoint._safe_torch_load = _SafeTorch.load


class _SafeTorch:
    """The module torch, but that `load` never unpickles more than weights."""

    def __init__(self, torch: Any) -> None:
        self._torch = torch

    def __getattr__(self, name: str) -> Any:
        return getattr(self._torch, name)

    @staticmethod
    def load(file: Any, map_location: Any = None, **options: Any) -> Any:
        """Whatever `weights_only` the caller asks for."""
        from ..checkpoints.loading import load_file

        return load_file(file, map_location)


def _load_url(url: str, model_dir: str | None = None, map_location: Any = None, **_: Any) -> Any:
    from ..checkpoints.loading import load_file
    from ..checkpoints.local_file import download

    return load_file(download(url, model_dir), map_location)
