"""Put a recipe on a user's COCO-style files: paths, classes, heads, evaluation."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

from mmdet.evaluation.metrics import CocoMetric, LVISMetric
from mmdet.registry import METRICS, MODELS
from mmdet.visualization import get_palette
from mmengine.config import Config, ConfigDict

from ..compat.config_bases import config_path
from ..config_tree import keep_one_dataset, metrics, type_name, typed_parts
from .lvis_files import Forms, check_federated
from .own_data import OwnData, check_same_classes, class_names

# Their `num_classes` does not count the classes of instances.
_OTHER_HEADS = ('semantic_head', 'rpn_head')
_COUNTS = ('num_things_classes', 'num_stuff_classes', 'num_classes')
_SPLITS = ('val', 'test')


def put_on_data(cfg: Config, data: OwnData, classes: Sequence[str] | None = None) -> Config:
    """Make a config of either phase learn from, and be judged on, a user's files, in place.

    Args:
        cfg: a labeler, see `point_labeler_at`, or a segmenter, see `point_at`.
        data: the files.
        classes: names in the order of the files; None: those of `data.ann`.

    Returns:
        `cfg`.

    Raises:
        ValueError: the config cannot learn from such files.
        AnnotationError: the files do not fit each other.
    """
    classes = class_names(data.ann) if classes is None else classes
    if any(typed_parts(cfg.train_dataloader.dataset, 'RoIDataset')):
        return point_labeler_at(cfg, data, len(classes))
    if data.val_ann is not None:
        check_same_classes(data.val_ann, classes, data.ann)
    forms = Forms.of(data.ann, data.val_ann)
    if forms.federated and data.val_ann is not None:
        check_federated(data.val_ann)
    return point_at(cfg, data.ann, data.img_root, data.val_ann, data.val_img_root, classes, forms)


def point_at(
    cfg: Config,
    train_ann: str | Path,
    train_img: str | Path,
    val_ann: str | Path | None,
    val_img: str | Path | None,
    classes: Sequence[str],
    forms: Forms | None = None,
) -> Config:
    """Make a segmenter's config learn and be judged on COCO-style files, in place.

    Changed are the files of the innermost datasets and their metainfo, the number of classes of
    every head, the evaluators, and `mal_ann_file`; training passes over missing images.
    Pipelines, schedule and wrappers of datasets stay.

    Args:
        cfg: a segmenter of mmdet with its data, as the recipes in configs/phase2.
        train_ann: the file to learn from, with masks.
        train_img: folder that its file names are relative to.
        val_ann: human masks to judge by; None takes evaluation out, in training too.
        val_img: folder of its images.
        classes: names in the order of both files, see `class_names`.
        forms: how the files are read and scored; None: as COCO's. They are not looked at here,
            since the first is often still to be written.

    Returns:
        `cfg`.

    Raises:
        ValueError: the recipe needs more than instances (stuff, semantic maps), or its model has
            no head with a number of classes.
    """
    _refuse_maps(cfg)
    forms = forms or Forms()
    for loader in typed_parts(cfg.train_dataloader.dataset, 'LoadImageFromFile'):
        loader['ignore_empty'] = True  # mmdet then draws another image
    metainfo = {'classes': tuple(classes), 'palette': _palette(len(classes))}
    _point_dataset(cfg.train_dataloader, forms.train, train_ann, train_img, metainfo)
    # also for recipes without it: our tools then decode RLE masks where a pipeline would not
    cfg.mal_ann_file = str(Path(train_ann).resolve())
    set_num_classes(cfg.model, len(classes))
    if val_ann is None:
        remove_evaluation(cfg)
        return cfg
    assert val_img is not None
    for split in _SPLITS:
        _point_dataset(cfg[f'{split}_dataloader'], forms.val, val_ann, val_img, metainfo)
        key = f'{split}_evaluator'
        cfg[key] = _evaluator(cfg[key], str(Path(val_ann).resolve()), forms.federated)
    return cfg


def point_labeler_at(cfg: Config, data: OwnData, num_classes: int) -> Config:
    """Make a labeler's config learn from the boxes of a COCO-style file, in place.

    Args:
        cfg: a recipe of configs/mal.
        data: the files; masks in `data.ann` are not read. Without `data.val_ann`, validation is
            taken out.
        num_classes: of the file; only classification losses ask.

    Returns:
        `cfg`.

    Raises:
        ValueError: the config is none of a labeler.
    """
    roi_datasets = list(typed_parts(cfg.train_dataloader.dataset, 'RoIDataset'))
    if not roi_datasets:
        raise ValueError('the config trains no labeler: there is no RoIDataset in it')
    roi_datasets[0].dataset = ConfigDict(type='CocoBoxDataset', **_files(data.ann, data.img_root))
    cfg.num_classes = num_classes
    if (cfg.model.get('cls_loss') or {}).get('num_classes') is not None:
        cfg.model.cls_loss.num_classes = num_classes
    if data.val_ann is None:
        remove_evaluation(cfg)
    else:
        _validate_labeler(cfg, data)
    return cfg


def _validate_labeler(cfg: Config, data: OwnData) -> None:
    """Compare the labeler's masks with human ones after each epoch, cut as labeling cuts."""
    val = Config.fromfile(config_path('mal/_base_/datasets/coco_boxes_val.py'))
    (crop,) = typed_parts(val.val_dataloader.dataset.pipeline, 'RoICrop')
    test_cfg = cfg.model.get('test_cfg') or {}
    crop.update({key: test_cfg[key] for key in ('crop_size', 'padding') if key in test_cfg})
    assert data.val_ann is not None and data.val_img_root is not None
    val.val_dataloader.dataset.dataset.update(_files(data.val_ann, data.val_img_root))
    val.val_evaluator.ann_file = str(data.val_ann.resolve())
    if isinstance(test_cfg.get('mask_threshold'), float):
        val.val_evaluator.mask_threshold = test_cfg['mask_threshold']
    for split in _SPLITS:
        cfg[f'{split}_dataloader'] = deepcopy(val.val_dataloader)
        cfg[f'{split}_evaluator'] = deepcopy(val.val_evaluator)
        cfg[f'{split}_cfg'] = val[f'{split}_cfg']


def set_num_classes(model: ConfigDict, num_classes: int) -> None:
    """Give every head of a model config another number of classes, in place.

    Covers boxes, masks, mask scores, points (`num_classes`), queries (`num_things_classes`), and
    losses that count or weigh classes. RPN and semantic heads, which count others, stay.

    Raises:
        ValueError: nothing in the model counts classes, or it also counts stuff.
    """
    heads = list(_counting_parts(model))
    if not heads:
        raise ValueError('no head of the model has `num_classes`; is it an instance segmenter?')
    for part in heads:
        if part.get('num_stuff_classes'):
            raise ValueError(
                f'the model also has {part.num_stuff_classes} classes of stuff '
                '(`num_stuff_classes`), which boxes do not teach; take its instance config'
            )
        key = 'num_things_classes' if 'num_things_classes' in part else 'num_classes'
        before, part[key] = part[key], num_classes
        loss = part.get('loss_cls')
        weights = loss.get('class_weight') if isinstance(loss, dict) else None
        if isinstance(weights, (list, tuple)):
            # the entries after the classes (no object) keep their weight
            loss.class_weight = [weights[0]] * num_classes + list(weights[before:])


def remove_evaluation(cfg: Config) -> None:
    """Take validation and test out of a config, in place, with what depends on their scores."""
    for split in _SPLITS:
        for part in ('dataloader', 'evaluator', 'cfg'):
            if f'{split}_{part}' in cfg:
                cfg[f'{split}_{part}'] = None
    cfg.get('default_hooks', {}).get('checkpoint', {}).pop('save_best', None)
    if cfg.get('custom_hooks'):
        cfg.custom_hooks = [h for h in cfg.custom_hooks if h.type != 'EarlyStoppingHook']


def _counting_parts(node: Any) -> Iterator[ConfigDict]:
    """Parts that state a number of classes; heads that rely on their default state it now."""
    if isinstance(node, dict):
        kind = MODELS.get(node['type']) if str(node.get('type')).endswith('Head') else None
        known = inspect.signature(kind).parameters if kind else {}
        for key in _COUNTS:
            default = getattr(known.get(key), 'default', None)
            if isinstance(default, int):
                node.setdefault(key, default)
        if any(key in node for key in _COUNTS):
            yield node
        node = [value for key, value in node.items() if key not in _OTHER_HEADS]
    if isinstance(node, (list, tuple)):
        for each in node:
            yield from _counting_parts(each)


def _point_dataset(
    loader: ConfigDict, kind: str, ann: str | Path, img_root: str | Path, metainfo: dict[str, Any]
) -> None:
    """Put the innermost dataset on other files; of several joined ones the first stays."""
    dataset = keep_one_dataset(loader)
    # what other classes of datasets want beside
    for key in ('data_root', 'data_prefix', 'seg_map_suffix', 'label_file', 'meta_file'):
        dataset.pop(key, None)
    dataset.update(type=kind, metainfo=metainfo, **_files(ann, img_root))


def _files(ann: str | Path, img_root: str | Path) -> dict[str, Any]:
    return {
        'data_root': '',
        'ann_file': str(Path(ann).resolve()),
        'data_prefix': {'img': f'{Path(img_root).resolve()}/'},
    }


def _evaluator(evaluator: Any, ann_file: str, federated: bool) -> ConfigDict | list[ConfigDict]:
    """CocoMetric stays, with its options; measures of other data sets make room for it.

    On a file of LVIS its LVISMetric takes the place of all.
    """
    if federated:
        return ConfigDict(type='LVISMetric', ann_file=ann_file, metric=['bbox', 'segm'])
    kept = [metric for metric in metrics(evaluator) if _is_coco(metric)]
    for metric in kept:
        metric.update(ann_file=ann_file, format_only=False)
    if not kept:
        return ConfigDict(type='CocoMetric', ann_file=ann_file, metric=['bbox', 'segm'])
    return kept[0] if len(kept) == 1 else kept


def _is_coco(metric: dict[str, Any]) -> bool:
    kind = METRICS.get(metric['type'])
    return kind is not None and issubclass(kind, CocoMetric) and not issubclass(kind, LVISMetric)


def _palette(number: int) -> list[tuple[int, ...]]:
    return [tuple(int(part) for part in color) for color in get_palette('random', number)]


def _refuse_maps(cfg: Config) -> None:
    for transform in typed_parts(cfg.train_dataloader.dataset):
        if transform.get('with_seg') or type_name(transform) == 'LoadPanopticAnnotations':
            raise ValueError(
                'the config learns from semantic or panoptic maps too, which a file of instances '
                'has not; take one for instances alone (of HTC: htc-without-semantic)'
            )
