"""What tools/test.py can do besides scoring: test-time augmentation, pictures."""

from __future__ import annotations

from argparse import Namespace
from copy import deepcopy

from mmdet.engine.hooks.utils import trigger_visualization_hook
from mmengine.config import Config, ConfigDict

from .config_tree import innermost_datasets

DEFAULT_TTA_MODEL = {
    'type': 'DetTTAModel',
    'tta_cfg': {'nms': {'type': 'nms', 'iou_threshold': 0.5}, 'max_per_img': 100},
}
TTA_META_KEYS = (
    'img_id',
    'img_path',
    'ori_shape',
    'img_shape',
    'scale_factor',
    'flip',
    'flip_direction',
)


def use_tta(cfg: Config) -> None:
    """Test on the config's tta_pipeline, by default the image and its mirror image."""
    if 'tta_pipeline' not in cfg:
        (dataset, *_) = innermost_datasets(cfg.test_dataloader.dataset)
        flips = [{'type': 'RandomFlip', 'prob': prob} for prob in (1.0, 0.0)]
        pack = [{'type': 'PackDetInputs', 'meta_keys': TTA_META_KEYS}]
        tta = {'type': 'TestTimeAug', 'transforms': [flips, pack]}
        cfg.tta_pipeline = [*deepcopy(dataset.pipeline[:-1]), tta]
    cfg.model = ConfigDict(**cfg.get('tta_model', DEFAULT_TTA_MODEL), module=cfg.model)
    cfg.test_dataloader.dataset.pipeline = cfg.tta_pipeline


def show_predictions(cfg: Config, args: Namespace) -> None:
    """What --show, --show-dir and --wait-time ask for, in place."""
    trigger_visualization_hook(cfg, args)
