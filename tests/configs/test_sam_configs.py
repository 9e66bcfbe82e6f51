"""What configs/mal/sam_* resolve to: networks of others, asked with our boxes."""

from __future__ import annotations

import pytest
from mmdet.registry import MODELS
from mmengine.registry import DefaultScope

from mal_mm.labeling import LabelingEngine

pytestmark = pytest.mark.slow  # nothing here depends on the stack

# family, name on the hub as published, side of the input
PUBLISHED = {
    'sam_vit_base': ('sam', 'facebook/sam-vit-base', 1024),
    'sam_2_hiera_tiny': ('sam2', 'facebook/sam2.1-hiera-tiny', 1024),
    'sam_3': ('sam3', 'facebook/sam3', 1008),
}


@pytest.mark.parametrize('name', PUBLISHED)
def test_family_weights_and_crops_belong_together(load_config, name):
    cfg = load_config(f'mal/{name}.py')
    side = cfg.model.test_cfg.crop_size
    assert (cfg.model.family, cfg.model.checkpoint, side) == PUBLISHED[name]
    assert set(cfg.model.test_cfg) <= set(LabelingEngine.OPTIONS)
    assert not {'train_dataloader', 'train_cfg', 'optim_wrapper'} & set(cfg)
    # without the library, and without the weights
    with DefaultScope.overwrite_default_scope('mmdet'):
        labeler = MODELS.build(cfg.model)
    LabelingEngine(labeler, **labeler.test_cfg)
