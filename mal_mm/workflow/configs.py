"""The configs of a run: the recipes that the user names, put on the user's data."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path

from mmengine.config import Config

from ..compat.config_text import comment
from ..config_tree import import_mal_mm
from ..formats import atomic_write
from ..formats.coco import CocoStream
from ..phase2.class_check import check_heads
from ..phase2.custom_data import point_at, point_labeler_at
from ..phase2.lvis_files import Forms
from ..phase2.mask_file_check import check_evaluation, check_mask_file
from ..phase2.own_data import OwnData
from ..phase2.val_file_check import check_annotation_ids
from .options import Options

PSEUDO_MASKS = 'pseudo_masks.json'


def build_configs(
    options: Options, classes: tuple[str, ...], recipes: Mapping[str, Config]
) -> dict[str, Config]:
    """Put the recipes on the data.

    Segmenter and twin get the same seed,
    and both phases what a run that is killed and resumed needs to end as if it had not been
    (whole checkpoints, chance that depends on the iteration); learning rates follow the number of
    GPUs where the recipe says how. The user's options win.

    Args:
        options: of the run.
        classes: names of the classes.
        recipes: 'labeler' and 'segmenter', not changed.

    Returns:
        'labeler', 'segmenter', and with human masks 'segmenter_gt'.

    Raises:
        ValueError: a recipe does not fit the data.
    """
    labeler = deepcopy(recipes['labeler'])
    point_labeler_at(labeler, OwnData(options.ann, options.img_root), len(classes))
    configs = {'labeler': labeler}
    train_files = {'segmenter': options.work_dir / PSEUDO_MASKS}
    if options.gt_ann:
        train_files['segmenter_gt'] = options.gt_ann
    for name, train_ann in train_files.items():
        cfg = deepcopy(recipes['segmenter'])
        val = options.val_ann, options.val_img_root
        # the masks of the labeler come in the form of the boxes
        learned = options.gt_ann if name == 'segmenter_gt' else options.ann
        forms = Forms.of(learned or options.ann, val[0])
        configs[name] = point_at(cfg, train_ann, options.img_root, *val, classes, forms)
    for name, cfg in configs.items():
        make_repeatable(cfg)
        user = options.labeler_options if name == 'labeler' else options.segmenter_options
        cfg.merge_from_dict(dict(user))
        if name == 'segmenter_gt':  # the same, but that human masks have no quality
            cfg.merge_from_dict({'mal_min_quality': 0, 'mal_quality_weight': False})
    return configs


def check_segmenters(
    configs: Mapping[str, Config], options: Options, classes: tuple[str, ...]
) -> None:
    """Refuse now what phase 2 would stop at after the days of phase 1.

    Args:
        configs: what `build_configs` gives; the user's options may have changed them.
        options: of the run.
        classes: names of the classes.

    Raises:
        AnnotationError: annotations without ids of their own, heads with other classes, files
            that validation cannot go by.
    """
    check_annotation_ids(CocoStream(options.ann), options.ann)
    for name, cfg in configs.items():
        if name == 'segmenter_gt':
            check_mask_file(cfg)
        elif name == 'segmenter':
            check_heads(cfg, classes, str(options.ann))
            for split in ('val', 'test'):
                check_evaluation(cfg, split, classes)


def write_config(cfg: Config, path: Path, head: str) -> None:
    """Write a config so that it can be read, changed and trained by itself.

    Args:
        cfg: the config.
        path: where to.
        head: its first line, for people.
    """
    with atomic_write(path) as file:
        file.write(f'{comment(head)}\n{cfg.pretty_text}')


def make_repeatable(cfg: Config) -> None:
    """Fix the seed and what a resumed training needs to end as an unbroken one, in place."""
    if (cfg.get('randomness') or {}).get('seed') is None:
        cfg.randomness = {**(cfg.get('randomness') or {}), 'seed': 0}
    checkpoint = cfg.default_hooks.checkpoint
    if checkpoint.type == 'CheckpointHook':
        checkpoint.type = 'AtomicCheckpointHook'
    cfg.default_hooks.setdefault('exact_resume', {'type': 'ExactResumeHook'})
    if 'base_batch_size' in (cfg.get('auto_scale_lr') or {}):
        cfg.auto_scale_lr.enable = True
    import_mal_mm(cfg)
