"""Annotation files that a config names and that are not there. Needs no MMDetection."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.fileio import join_path
from mmengine.utils import is_abs

from ..config_tree import innermost_datasets, parts, typed_parts
from ..formats.errors import AnnotationError
from ..formats.json_file import missing_file
from .unused_masks import LABEL


class MaskFileError(AnnotationError):
    """Training would ignore the masks of its annotation file, or stop at them."""


def check_files_of(cfg: Config, split: str) -> None:
    """Refuse a config whose data sets name files that are not on this machine.

    Files in other storages (`backend_args`, addresses) are left to those who read them.

    Args:
        cfg: the whole config.
        split: 'train', 'val' or 'test'.

    Raises:
        AnnotationError: a file is not there; says how to come by it.
    """
    tree = (cfg.get(f'{split}_dataloader') or {}).get('dataset')
    datasets = innermost_datasets(tree)
    for place, part in parts(tree, f'{split}_dataloader.dataset'):
        if not any(part is each for each in datasets) or not part.get('ann_file'):
            continue
        path = path_of(part)
        if part.get('backend_args') or '://' in path or Path(path).exists():
            continue
        loaders = typed_parts(part.get('pipeline'), 'LoadAnnotations')
        if split == 'train' and any(each.get('with_mask') for each in loaders):
            raise missing_masks(cfg, path, place)
        raise missing_file(Path(path))


def missing_masks(cfg: Config, path: str, place: str) -> MaskFileError:
    """What to raise where the file with the masks to train on is not there.

    Args:
        cfg: the whole config.
        path: of the file.
        place: of its data set in the config, such as 'train_dataloader.dataset'.
    """
    option = 'mal_ann_file' if 'mal_ann_file' in cfg else f'{place}.ann_file'
    return MaskFileError(
        f'the annotation file {path} does not exist; make it with {LABEL} CONFIG CHECKPOINT --ann '
        f'BOXES.json --img-root DIR --out {path}, or name another: --cfg-options {option}=FILE'
    )


def path_of(dataset: dict[str, Any]) -> str:
    """The annotation file of a data set's config."""
    path = dataset['ann_file']
    if dataset.get('data_root') and not is_abs(path):
        path = join_path(dataset['data_root'], path)
    return path
