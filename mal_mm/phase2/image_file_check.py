"""Before training: are the images there?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.utils import is_abs

from ..config_tree import innermost_datasets
from ..formats.image_hints import name_hint
from ..formats.paths import image_file_name
from ..formats.videos import open_annotations


class NoImagesError(ValueError):
    """None of the images of a data set is where it should be."""


def check_image_files(cfg: Config) -> list[str]:
    """Look for the images of the COCO-style files that a config trains and validates on.

    Files and folders that are not on this machine's disks are not looked at.

    Args:
        cfg: the whole config, of phase 1 or 2.

    Returns:
        Warnings, one sentence for each file of which images are missing.

    Raises:
        NoImagesError: all images of a file are missing.
    """
    warnings = []
    for split in ('train', 'val'):
        loader = cfg.get(f'{split}_dataloader') or {}
        for dataset in innermost_datasets(loader.get('dataset')):
            if str(dataset.get('ann_file', '')).endswith(('.json', '.json.gz')):
                warnings += _check(dataset, split)
    return warnings


def _check(dataset: dict[str, Any], split: str) -> list[str]:
    root = dataset.get('data_root') or ''
    prefix = (dataset.get('data_prefix') or {}).get('img') or ''
    ann = dataset['ann_file']
    if dataset.get('backend_args') or any('://' in str(each) for each in (root, prefix, ann)):
        return []
    folder, path = (
        Path(each) if is_abs(str(each)) else Path(root, each) for each in (prefix, ann)
    )
    if not path.is_file():
        return []  # others say so
    names = [image_file_name(image) for image in open_annotations(path).value['images']]
    names = [name for name in names if isinstance(name, str)]
    missing = [name for name in names if not (folder / name).is_file()]
    if not missing:
        return []
    said = (
        f'{len(missing)} of {len(names)} images of {path} are not in {folder or "."} '
        f'({missing[0]!r} for one{name_hint(folder / missing[0])})'
    )
    if len(missing) == len(names):
        raise NoImagesError(
            f'{said}: set `data_prefix` of the dataset of {split}_dataloader to the folder that '
            'the file names are relative to'
        )
    if split == 'train':
        return [f'{said}; training takes others in their place']
    return [f'{said}; validation will stop at them: take them out of the file']
