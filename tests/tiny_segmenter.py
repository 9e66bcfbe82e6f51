"""The phase-2 SOLOv2 small enough for one training step in a test."""

from __future__ import annotations

from pathlib import Path

from mmengine.config import Config

from mal_mm.samples.shapes import CATEGORIES

SIDE = 64


def shrink_solov2(cfg: Config, data_root: Path, ann_file: str, work_dir: Path) -> Config:
    """Train on `ann_file` of a sample set, test on its unseen_gt.json; changes `cfg` in place."""
    head = cfg.model.mask_head
    cfg.model.backbone.init_cfg = None
    cfg.model.neck.out_channels = 16
    head.update(num_classes=len(CATEGORIES), in_channels=16, feat_channels=32, stacked_convs=1)
    head.mask_feature_head.update(feat_channels=8, out_channels=8)
    head.mask_feature_head.norm_cfg.num_groups = 4
    # an untrained network is sure of nothing
    cfg.model.test_cfg.update(
        score_thr=1e-4, filter_thr=1e-4, mask_thr=0.4, nms_pre=20, max_per_img=5
    )
    for split in ('train', 'val', 'test'):
        loader = cfg[f'{split}_dataloader']
        loader.update(num_workers=0, persistent_workers=False)
        loader.dataset.update(
            data_root=str(data_root),
            ann_file=ann_file if split == 'train' else 'unseen_gt.json',
            data_prefix={'img': ''},
            metainfo={'classes': CATEGORIES},
        )
        for transform in loader.dataset.pipeline:
            if transform.type == 'RandomChoiceResize':
                transform.scales = [(SIDE, SIDE)]
            elif transform.type == 'Resize':
                transform.scale = (SIDE, SIDE)
    cfg.train_dataloader.dataset.filter_cfg.min_size = 0  # stock: images of 32 px and more
    for evaluator in (cfg.val_evaluator, cfg.test_evaluator):
        evaluator.ann_file = str(data_root / 'unseen_gt.json')
    cfg.train_cfg.max_epochs = 1
    cfg.param_scheduler = []
    cfg.randomness = {'seed': 0}
    cfg.default_hooks.logger.interval = 1
    cfg.work_dir = str(work_dir / 'solov2')
    cfg.experiment_name = f'solov2_{work_dir.name}'
    cfg.log_level = 'ERROR'
    return cfg
