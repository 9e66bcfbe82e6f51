"""A labeler by the name under which its weights are published."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from mmengine.config import Config

from ..checkpoints.zoo import ZooEntry, find_entry, obtain
from ..compat.config_bases import find_config
from ..formats.atomic import atomic_write
from ..formats.plain_file import sha256
from ..pip_download import default_cache


def find_pretrained(
    name: str,
    file: str | Path | None = None,
    address: str | None = None,
    offline: str | Path | None = None,
    download: bool | Callable[[str], bool] = False,
    announce: Callable[[str], object] = print,
) -> tuple[Config, Path | None]:
    """Config and checkpoint of a published labeler, for `MaskLabeler`.

    Args:
        name, file, address, offline, announce: see `checkpoints.zoo.obtain`.
        download: its `may_download`.

    Returns:
        The checkpoint is None for an instant labeler, whose config names the encoder's file.

    Raises:
        ValueError: nothing is published under the name, or it is no labeler.
        CheckpointError: the file is not to be had, or is none of the kind.
    """
    entry = find_entry(name)
    if entry.kind not in ('instant', 'labeler'):
        raise ValueError(f'{name} draws no masks by itself: {use_of(entry, "FILE")}')
    path = obtain(entry, file, address, offline, download, announce)
    if entry.kind == 'instant':
        config = Config.fromfile(find_config(f'mal_mm::{entry.config}'))
        config.model.encoder.init_cfg.checkpoint = str(path)
        return config, None
    return _import_labeler(path)


def use_of(entry: ZooEntry, path: str | Path) -> str:
    """What to do with a file, as a sentence with the command."""
    if entry.kind == 'encoder':
        key = 'model.network.encoder.init_cfg.checkpoint'
        return f'train with it: mal-mm train mal_mm::{entry.config} --cfg-options {key}={path}'
    if entry.kind == 'segmenter':
        return (
            f'import it: mal-mm import maskdino {path} maskdino.pth --config-out maskdino.py '
            "(--box-init as INITIALIZE_BOX_TYPE in the owner's yaml file)"
        )
    if entry.kind == 'masks':
        return f'train a segmenter on it: docs/segmenters.md, with {path} as the annotation file'
    return f'label with it: mal-mm zoo {entry.name} --ann BOXES.json --img-root DIR --out OUT.json'


def _import_labeler(path: Path) -> tuple[Config, Path]:
    """The authors' file in our form, which is kept in our cache."""
    import torch

    from ..checkpoints.loading import read_state_dict
    from ..checkpoints.nvlabs import convert_state_dict, deduce_model

    state = convert_state_dict(read_state_dict(path), path)
    model = deduce_model(state, None, path)
    imported = default_cache() / f'{path.stem}-{sha256(path)[:12]}.mal_mm.pth'
    imported.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(imported, 'wb') as file:
        torch.save({'state_dict': state, 'meta': {'source': path.name}}, file)
    custom_imports = dict(imports=['mal_mm'], allow_failed_imports=False)
    config = Config(dict(custom_imports=custom_imports, default_scope='mmdet', model=model))
    return config, imported
