"""The variables of a phase-2 config: the file to train on, and how far its masks are trusted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmengine.config import Config
from mmengine.logging import MMLogger

from ..config_tree import import_mal_mm, innermost_datasets, parts, typed_parts
from .mask_quality import use_mask_quality

# What configs/phase2/mal_masks.py names, so that MMDetection's own tools apply it too.
RUNNER_TYPE = 'mal_mm.phase2.mal_masks_runner.MalMasksRunner'


def apply_mal_masks(cfg: Config, cfg_options: Mapping[str, Any] | None = None) -> None:
    """Carry the variables `mal_*` of a config to the places where they act, in place.

    `mal_ann_file` becomes the annotation file of the innermost training dataset, and RLE masks are
    decoded (`poly2mask=True`) in all pipelines of
    the training. `mal_min_quality` (0: off) and `mal_quality_weight` (False: off) make the mask
    loss mind the quality of the masks. A config without these variables stays as it is.

    Args:
        cfg: after `cfg_options` were merged into it.
        cfg_options: dotted key -> value, from the command line.

    Raises:
        ValueError: the training set joins several files, or the model has no use for quality.
    """
    if cfg.get('runner_type') == RUNNER_TYPE:
        cfg.pop('runner_type')  # it would apply them once more
    if cfg.get('mal_ann_file') and cfg.get('train_dataloader'):
        _set_train_file(cfg, [key for key in cfg_options or () if _is_train_file(key)])
        for part in (cfg.train_dataloader, cfg.get('custom_hooks')):  # hooks: PipelineSwitchHook
            for _, each in parts(part):
                if each.get('poly2mask') is False:  # it would ignore every RLE mask
                    each['poly2mask'] = True
    if 'mal_min_quality' in cfg or 'mal_quality_weight' in cfg:
        # at 0 and False too: a config that a run saved may have been rewritten for others
        use_mask_quality(cfg, cfg.get('mal_min_quality', 0), cfg.get('mal_quality_weight', False))


def read_images_as_labeling(cfg: Config) -> None:
    """Let a config with `mal_ann_file` read images as labeling does, in place.

    LoadAnyImage takes the place of LoadImageFromFile. In training it passes over images that
    cannot be read: labeling has skipped their annotations, and mmdet would stop there. Called just
    before a Runner is built, so that a config stays comparable with the stock one until then.
    """
    if not cfg.get('mal_ann_file'):
        return
    for part in (cfg.get('train_dataloader'), cfg.get('custom_hooks')):
        use_any_image(part, skip_unreadable=True)
    for split in ('val', 'test'):
        use_any_image(cfg.get(f'{split}_dataloader'), skip_unreadable=False)
    import_mal_mm(cfg)


def use_any_image(tree: Any, skip_unreadable: bool) -> None:
    """Let LoadAnyImage take the place of LoadImageFromFile, in place."""
    for loader in typed_parts(tree, 'LoadImageFromFile'):
        loader['type'] = 'mmdet.LoadAnyImage'
        if skip_unreadable:
            loader['skip_unreadable'] = True


def _is_train_file(key: str) -> bool:
    return key.startswith('train_dataloader.') and key.endswith('.ann_file')


def _set_train_file(cfg: Config, named: list[str]) -> None:
    datasets = innermost_datasets(cfg.train_dataloader.dataset)
    if len(datasets) > 1:
        raise ValueError(
            f'mal_ann_file (={cfg.mal_ann_file!r}) is one file, but the training set joins '
            f'{len(datasets)} datasets; set mal_ann_file=None and name the file of each, as in '
            '--cfg-options mal_ann_file=None train_dataloader.dataset.datasets.0.ann_file=FILE'
        )
    if named:
        raise ValueError(
            f'--cfg-options {named[0]}: this config takes its file from mal_ann_file; say '
            '--cfg-options mal_ann_file=FILE instead'
        )
    (dataset,) = datasets
    if dataset.get('ann_file') != cfg.mal_ann_file:
        MMLogger.get_current_instance().info(
            f'Training on mal_ann_file {cfg.mal_ann_file!r} in place of '
            f'{dataset.get("ann_file")!r}'
        )
        dataset.ann_file = cfg.mal_ann_file
