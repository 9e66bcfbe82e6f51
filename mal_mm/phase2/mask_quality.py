"""Let a stock config mind the quality of its pseudo-masks; beyond the paper, off by default."""

from __future__ import annotations

from mmengine.config import Config

from ..config_tree import import_mal_mm, innermost_datasets, type_name, typed_parts
from ..formats.mal_fields import check_min_quality

# stock name -> ours, all registered in mmdet
_DATASETS = {
    'CocoDataset': 'MaskQualityCocoDataset',
    'LVISStyleDataset': 'MaskQualityLVISStyleDataset',
    'LVISV1Dataset': 'MaskQualityLVISV1Dataset',
}
_TRANSFORMS = {
    'LoadAnnotations': 'LoadMaskQualityAnnotations',
    'PackDetInputs': 'PackMaskQualityInputs',
}
_HEADS = {
    'FCNMaskHead': 'QualityFCNMaskHead',
    'Mask2FormerHead': 'QualityMask2FormerHead',
}
_OURS = _DATASETS | _TRANSFORMS | _HEADS
_STOCK = {ours: stock for stock, ours in _OURS.items()}
# Both would undo the quality on its way through the pipeline.
_UNFIT_TRANSFORMS = {
    'InstaBoost': 'it builds the instances anew, without their quality',
    'RandomSamplingNegPos': 'it reads the labels, which carry the quality',
}
_ROI_HEADS = ('StandardRoIHead', 'CascadeRoIHead')


def use_mask_quality(cfg: Config, min_quality: float, weight: bool) -> None:
    """Rewrite a segmenter's config, in place, to use `mal_quality` of its training file.

    The training data sets keep the quality of each mask, the training pipelines hand it on, and
    the mask head minds it; boxes and classes train as before. Weights have the names of the stock
    model, so that checkpoints fit both. Does nothing with `min_quality` 0 and without `weight`,
    unless the config has been rewritten already, as one saved by a run: the last values hold.

    Args:
        cfg: Mask R-CNN or Cascade Mask R-CNN with FCNMaskHead, or Mask2Former, on COCO or LVIS v1
            style files, possibly several and wrapped.
        min_quality: in [0, 1]; worse masks have no mask loss.
        weight: multiply the loss of each mask by its quality.

    Raises:
        ValueError: a value is out of range, or head, data set or pipeline are others; says what
            to do instead.
    """
    check_min_quality(min_quality)
    if not isinstance(weight, bool):
        raise ValueError(f'`mal_quality_weight` must be True or False, got {weight!r}')
    rewritten = any('weight_by_quality' in node for node in typed_parts(cfg.model))
    if not (min_quality or weight or rewritten) or not cfg.get('train_dataloader'):
        return
    heads = _mask_heads(cfg.model)
    data = [cfg.train_dataloader.dataset]
    for hook in cfg.get('custom_hooks') or []:
        if _type(hook) == 'PipelineSwitchHook':
            data.append(hook['switch_pipeline'])
    _check_data(data)
    for node in typed_parts(data):
        if _type(node) in _OURS:
            _rename(node)
    for head in heads:
        _rename(head)
        head.update(min_quality=min_quality, weight_by_quality=weight)
    import_mal_mm(cfg)


def _mask_heads(model: dict) -> list[dict]:
    roi_head = model.get('roi_head') or {}
    heads = roi_head.get('mask_head') or []
    heads = [heads] if isinstance(heads, dict) else list(heads)
    if _type(roi_head) in _ROI_HEADS and {_type(head) for head in heads} == {'FCNMaskHead'}:
        return heads
    head = model.get('panoptic_head') or {}
    if _type(head) == 'Mask2FormerHead' and not head.get('num_stuff_classes'):
        return [head]
    parts = [part for part in typed_parts(model) if 'Head' in _type(part)]
    raise ValueError(
        f'`mal_min_quality` and `mal_quality_weight`: {_type(model)} with '
        f'{", ".join(dict.fromkeys(map(_type, parts))) or "no head"} cannot mind the quality of '
        f'masks; FCNMaskHead in {" or ".join(_ROI_HEADS)}, and Mask2FormerHead without stuff '
        'classes, can. Instead leave bad masks out when labeling: `tools/generate_pseudo_masks.py '
        '... --min-quality Q` marks those annotations `ignore: 1`, which drops box and mask for '
        'any model; and set both variables back to 0 and False'
    )


def _check_data(data: list) -> None:
    dataset, *_ = data
    for leaf in innermost_datasets(dataset):
        if _type(leaf) not in _DATASETS:
            raise ValueError(
                f'`mal_min_quality` and `mal_quality_weight`: training data set {_type(leaf)} '
                f'drops `mal_quality`; use {" or ".join(_DATASETS)}'
            )
        if 'LoadAnnotations' not in map(_type, typed_parts(leaf)):
            raise ValueError(
                f'`mal_min_quality` and `mal_quality_weight`: {_type(leaf)} has no '
                'LoadAnnotations in its pipeline, which reads the quality'
            )
    types = {_type(node) for node in typed_parts(data)}
    for name in sorted(types & _UNFIT_TRANSFORMS.keys()):
        raise ValueError(
            f'`mal_min_quality` and `mal_quality_weight`: remove {name} from the training '
            f'pipeline; {_UNFIT_TRANSFORMS[name]}'
        )
    packers = {name for name in types if name.startswith('Pack')}
    if packers != {'PackDetInputs'}:
        raise ValueError(
            '`mal_min_quality` and `mal_quality_weight`: the training pipelines must end with '
            f'PackDetInputs, got {", ".join(sorted(packers)) or "no packer"}; it hands the '
            'quality to the model'
        )


def _type(node: dict) -> str:
    """Name of its class; of ours that of the stock one it stands for."""
    name = type_name(node)
    return _STOCK.get(name, name)


def _rename(node: dict) -> None:
    # with the scope, since a pure-Python config has no default one
    node['type'] = f'mmdet.{_OURS[_type(node)]}'
