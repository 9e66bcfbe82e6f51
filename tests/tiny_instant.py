"""An InstantLabeler with an encoder of a few thousand weights, which the test writes itself."""

from __future__ import annotations

from pathlib import Path

import torch
from mmdet.registry import MODELS
from mmengine.config import Config
from tiny_labeler import ARCH

from mal_mm.models import InstantLabeler

# patches of 4 px: 16 x 16 tokens of a crop of 64 px, as 224 px have of 14
CROP_SIZE = 64


def instant_config(checkpoint: str | Path | None = None, **changes: object) -> dict:
    """Config of the model; `checkpoint` of its encoder, `changes` replace its top keys."""
    encoder = dict(type='ViTEncoder', arch=dict(ARCH), img_size=CROP_SIZE, patch_size=4)
    if checkpoint is not None:
        encoder['init_cfg'] = dict(type='Pretrained', checkpoint=str(checkpoint))
    test_cfg = dict(
        refine='instant',
        crop_size=CROP_SIZE,
        margin=0.3,
        mask_threshold=0.5,
        carve_holes=True,
        overlaps='centre',
        box_tolerance=0.0,
    )
    model = dict(type='InstantLabeler', encoder=encoder, precision='fp32', test_cfg=test_cfg)
    return {**model, **changes}


def instant_model(**changes: object) -> InstantLabeler:
    """The model; without training its tokens tell colours and places apart."""
    torch.manual_seed(0)
    return MODELS.build(instant_config(**changes)).eval()


def write_encoder(path: Path) -> Path:
    """The encoder's weights, as a file that `init_cfg` may name."""
    torch.save({'state_dict': instant_model().encoder.state_dict()}, path)
    return path


def write_instant_config(path: Path, checkpoint: str | Path | None) -> Path:
    """A config for the tools."""
    config = dict(
        custom_imports=dict(imports=['mal_mm'], allow_failed_imports=False),
        default_scope='mmdet',
        model=instant_config(checkpoint),
    )
    Config(config).dump(path)
    return path
