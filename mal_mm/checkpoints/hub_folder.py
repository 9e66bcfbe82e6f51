"""Weights that are published as a folder on the Hugging Face hub.

Only data is read from such a folder: config.json and *.safetensors. Nothing is downloaded unless
that was asked for.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, MutableMapping
from pathlib import Path
from typing import Any

from ..formats.plain_file import sha256
from ..pip_download import default_cache
from .errors import CheckpointError

_FILES = ('*.json', '*.safetensors')


def is_hub_folder(path: str | Path) -> bool:
    """Whether a folder holds a network and its weights."""
    path = Path(path)
    return (path / 'config.json').is_file() and any(path.glob('*.safetensors'))


def model_type(folder: Path) -> str:
    """What a folder's config.json says its network is.

    Raises:
        CheckpointError: it cannot be read, or asks for code of its own to be run.
    """
    try:
        config = json.loads((folder / 'config.json').read_text(encoding='utf-8'))
    except (OSError, ValueError) as error:
        raise CheckpointError(f'{folder / "config.json"}: cannot be read ({error})') from None
    if not isinstance(config, dict) or config.get('auto_map'):
        raise CheckpointError(
            f'{folder / "config.json"}: names program code (`auto_map`), which is not run; take '
            'weights of a network that `transformers` knows itself'
        )
    return str(config.get('model_type'))


def hub_folder_digest(folder: str | Path) -> str:
    """Hex digest of all that is read from a folder: names and contents."""
    digest = hashlib.sha256()
    for path in sorted(each for pattern in _FILES for each in Path(folder).glob(pattern)):
        digest.update(f'{path.name} {sha256(path)}\n'.encode())
    return digest.hexdigest()


def use_hub_folder(
    model: MutableMapping[str, Any],
    weights: str | Path | None = None,
    may_download: bool | Callable[[str], bool] = False,
    announce: Callable[[str], object] = print,
) -> None:
    """Put the folder on this machine in the place of the name in a model's config.

    Args:
        model: config with `checkpoint`, a name such as facebook/sam-vit-base; others are left
            alone, and so is a `checkpoint` that is a folder. Changed in place.
        weights: look here only: the folder itself, or the one that holds it under the last part of
            its name (sam-vit-base).
        may_download: fetch what is missing; a function is asked first, with a question.
        announce: told what is downloaded, from where.

    Raises:
        CheckpointError: the folder is missing; says where it was searched and how to get it.
    """
    name = model.get('checkpoint')
    if not isinstance(name, str) or is_hub_folder(name):
        return
    short = name.rpartition('/')[2]
    if weights is not None:
        places = [Path(weights), Path(weights, short)]
    else:
        places = [Path(default_cache(), short)]
    found = next((place for place in places if is_hub_folder(place)), None)
    if found is None and weights is None:
        found = _in_hub_cache(name, offline=True)
    if found is None and name.count('/') == 1:
        question = f'{name} is not here. Download it from huggingface.co?'
        if may_download(question) if callable(may_download) else may_download:
            announce(f'downloading {name} from huggingface.co')
            found = _in_hub_cache(name, offline=False)
    if found is None:
        places_said = ' and '.join(map(str, places)) + ('' if weights else " and the hub's cache")
        raise CheckpointError(
            f'the weights {name} are not on this machine (searched in {places_said}). Fetch '
            'config.json, preprocessor_config.json and model.safetensors from '
            f'https://huggingface.co/{name} into one folder and name it with --weights, or add '
            '--download, which does that'
        )
    model['checkpoint'] = str(found)


def _in_hub_cache(name: str, offline: bool) -> Path | None:
    try:
        from huggingface_hub import snapshot_download
    except ImportError as error:
        if offline:
            return None
        raise CheckpointError(
            f'{name}: a download takes the package of the hub ({error}): `pip install '
            '"mal-mm[sam]"`'
        ) from None
    try:
        folder = snapshot_download(name, allow_patterns=list(_FILES), local_files_only=offline)
    except Exception as error:  # of many kinds, of the hub and of what it connects with
        if offline:
            return None
        raise CheckpointError(
            f'{name}: cannot be downloaded ({str(error).splitlines()[0]}). Some weights, such as '
            "SAM 3's, are given to people who have agreed to a licence on the hub's page"
        ) from error
    return Path(folder) if is_hub_folder(folder) else None
