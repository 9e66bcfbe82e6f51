"""Segmenters of phase 2, any of them, small enough for one training step in a test."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mmengine.config import Config

from mal_mm.phase2.custom_data import set_num_classes
from mal_mm.samples.shapes import CATEGORIES

SIDE = 64
THINNER = 16  # every width of the model is divided by this
_WIDTHS = (
    'in_channels', 'out_channels', 'feat_channels', 'conv_out_channels', 'fc_out_channels',
    'embed_dims', 'feedforward_channels', 'num_feats', 'groups', 'num_groups',
)  # fmt: skip
# whatever was there -> what a test can afford
_MODEL = {
    'stacked_convs': 1, 'num_convs': 1, 'num_shared_convs': 1, 'num_stacked_convs': 1,
    'num_queries': 8, 'num_points': 64, 'num_grids': [8, 8, 4, 4, 2], 'scales': [2],
    'nms_pre': 40, 'max_per_img': 8, 'max_per_image': 8, 'num': 16, 'size': (SIDE, SIDE),
    # an untrained network is sure of nothing
    'score_thr': 1e-4, 'filter_thr': 1e-4, 'mask_thr': 0.4,
}  # fmt: skip
_PIPELINE = {
    **dict.fromkeys(('scale', 'crop_size', 'size', 'img_scale'), (SIDE, SIDE)),
    'scales': [(SIDE, SIDE)],
}
_DEPTHS = [1, 1, 1, 1]


def shrink_segmenter(
    cfg: Config,
    data_root: Path,
    ann_file: str,
    work_dir: Path,
    val_file: str = 'unseen_gt.json',
) -> Config:
    """Train one batch on `ann_file` of a sample set, test on `val_file`; changes `cfg` in place.

    Structure, losses, wrappers of data sets and evaluators stay those of the recipe.
    """
    set_num_classes(cfg.model, len(CATEGORIES))
    _shrink(cfg.model, _MODEL)
    _shrink_backbone(cfg.model.backbone, cfg.model.get('neck'))
    for part in (cfg.train_dataloader, cfg.val_dataloader, cfg.get('custom_hooks')):
        _shrink(part, _PIPELINE)
    if cfg.model.type in ('CondInst', 'BoxInst'):  # stock: a default that no config states
        cfg.model.bbox_head.norm_cfg = dict(type='GN', num_groups=2)
    for split in ('train', 'val', 'test'):
        loader = cfg[f'{split}_dataloader']
        loader.update(batch_size=2, num_workers=0, persistent_workers=False)
        dataset = loader.dataset
        while 'dataset' in dataset:
            dataset = dataset.dataset
        dataset.update(
            data_root=str(data_root),
            ann_file=ann_file if split == 'train' else val_file,
            data_prefix={'img': ''},
            metainfo={'classes': CATEGORIES},
            serialize_data=False,  # would collect garbage
        )
    for evaluator in (cfg.val_evaluator, cfg.test_evaluator):
        evaluator.ann_file = str(data_root / val_file)
    length = {'max_iters': 1} if 'max_iters' in cfg.train_cfg else {'max_epochs': 1}
    cfg.train_cfg = {'type': cfg.train_cfg.type, **length, 'val_interval': 1}
    cfg.launcher = 'none'
    cfg.param_scheduler = []
    cfg.randomness = {'seed': 0}
    cfg.default_hooks.logger.interval = 1
    cfg.default_hooks.checkpoint.update(interval=-1, save_last=False)
    cfg.work_dir = str(work_dir / 'segmenter')
    cfg.experiment_name = f'segmenter_{work_dir.name}'
    cfg.log_level = 'ERROR'
    # A Runner prints its config five times, and formatting it takes longer than all the rest
    # (`Config.fromfile` does not hand on its `format_python_code`).
    object.__setattr__(cfg, '_format_python_code', False)
    return cfg


def _shrink_backbone(backbone: dict[str, Any], neck: dict[str, Any] | None) -> None:
    """What a backbone states in no width of its own; the neck's widths fit already."""
    backbone.init_cfg = None
    if 'depth' in backbone:
        backbone.update(depth=50, base_channels=64 // THINNER)  # 50: DCN needs bottlenecks
    elif 'depths' in backbone:
        backbone.depths = _DEPTHS
    elif 'widen_factor' in backbone:
        # a 16th of RTMDet-Ins tiny would leave its stem without a channel
        backbone.widen_factor, neck.in_channels = 1 / 32, [8, 16, 32]
    elif 'arch' in backbone:
        backbone.arch = {'depths': _DEPTHS, 'channels': neck.in_channels}


def _shrink(node: Any, small: dict[str, Any]) -> None:
    """Every width, and what `small` names, in a config, at any depth, in place."""
    if isinstance(node, (list, tuple)):
        for each in node:
            _shrink(each, small)
    if not isinstance(node, dict):
        return
    for key, value in node.items():
        if key in _WIDTHS:
            node[key] = (
                [_thin(each) for each in value] if isinstance(value, list) else _thin(value)
            )
        elif key in small:
            node[key] = small[key]
        elif value == 'SyncBN':
            node[key] = 'BN'  # a single process
        else:
            _shrink(value, small)
    if 'layer_cfg' in node:
        node['num_layers'] = 1


def _thin(width: int) -> int:
    # CondInst's mask head, 16 wide at most, fixes `num_params` of its box head
    return width // THINNER if width >= 2 * THINNER else width
