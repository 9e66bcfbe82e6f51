"""A labeler and a data set small enough to train in a test."""

from __future__ import annotations

from pathlib import Path

import torch
from mmdet.registry import MODELS
from mmengine.config import Config
from torch import Tensor

from mal_mm.models import MaskAutoLabeler

CROP_SIZE = 32
ARCH = {'embed_dims': 16, 'num_layers': 1, 'num_heads': 2, 'feedforward_channels': 32}

TINY_ARCHS = {
    'ViTEncoder': ARCH,
    'SwinEncoder': {'embed_dims': 4, 'depths': [1, 1, 1, 1], 'num_heads': [1, 2, 2, 4]},
    'ConvNeXtEncoder': {'depths': [1, 1, 1, 1], 'channels': [4, 8, 12, 20]},
}
TINY_DECODERS = {
    'AttentionDecoder': {'channels': 4},
    'FullyConvDecoder': {'channels': 4},
    'FullyConnectedDecoder': {'channels': 8, 'pool_size': 2, 'mask_size': 6},
    'QueryDecoder': {'channels': 8, 'num_heads': 2, 'num_layers': 1},
}


def model_config(**changes: object) -> dict:
    """Config of a MaskAutoLabeler with 2 x 2 tokens for a crop; `changes` replace its top keys."""
    encoder = {'type': 'ViTEncoder', 'arch': dict(ARCH), 'img_size': 32, 'patch_size': 16}
    decoder = {'type': 'AttentionDecoder', 'channels': 4}
    model = {
        'type': 'MaskAutoLabeler',
        'data_preprocessor': {'jitter': None, 'grey_prob': 0, 'blur_prob': 0},
        'network': {'type': 'MaskNetwork', 'encoder': encoder, 'decoder': decoder},
        'crf_loss': {'mean_field': {'num_iters': 5, 'zeta': 0.5}},
        'test_cfg': {'crop_size': CROP_SIZE, 'mask_threshold': 0.5},
    }
    return {**model, **changes}


def frozen_config() -> dict:
    """`model_config()` with a frozen encoder."""
    config = model_config()
    config['network']['encoder']['frozen'] = True
    return config


def build(**changes: object) -> MaskAutoLabeler:
    """The labeler of `model_config(**changes)`, with the same weights each time."""
    torch.manual_seed(0)
    return MODELS.build(model_config(**changes))


def part_networks(labeler: MaskAutoLabeler) -> MaskAutoLabeler:
    """Give the teacher other weights than the student's."""
    with torch.no_grad():
        for parameter in labeler.teacher.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape))
    return labeler


def random_inputs(N: int = 3, S: int = CROP_SIZE, seed: int = 0) -> dict[str, Tensor]:
    """What the data preprocessor makes of a batch; one box of each size bin, then again."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(N, 3, S, S, generator=generator)
    return {
        'images': images,
        'student_images': images + 0.1 * torch.randn(images.shape, generator=generator),
        'crop_boxes': torch.tensor([[4.0, 6.0, S - 6, S - 4]]).repeat(N, 1),
        'box_areas': torch.tensor([500.0, 5000.0, 50_000.0]).repeat(N)[:N],
    }


def shrink(
    cfg: Config, data_root: str | Path, work_dir: str | Path, batch_size: int = 2
) -> Config:
    """Make a config of configs/mal small, on `data_root`/train.json; changes it in place."""
    encoder = cfg.model.network.encoder
    if encoder.type == 'CachedEncoder':
        encoder.folder = str(Path(work_dir, 'features'))
        encoder = encoder.encoder
    encoder.update(arch=dict(TINY_ARCHS[encoder.type]), init_cfg=None)
    if cfg.model.network.get('neck'):
        encoder.arch.num_layers, encoder.out_indices = 3, (0, 1, 2)
    elif 'out_indices' in encoder:
        encoder.out_indices = (0,)
    cfg.model.network.decoder.update(TINY_DECODERS[cfg.model.network.decoder.type])
    # a multiple of the stride (32 without patches), at least 2 x 2 cells of 16 px
    crop_size = {14: 56, 16: 32, 32: 64}[encoder.get('patch_size', 32)]
    cfg.model.test_cfg.crop_size = crop_size
    for transform in cfg.train_dataloader.dataset.pipeline:
        if transform.type == 'RoICrop':
            transform.crop_size = crop_size
    cfg.train_dataloader.update(
        batch_size=batch_size, num_workers=0, persistent_workers=False, drop_last=True
    )
    roi_dataset = cfg.train_dataloader.dataset
    roi_dataset.update(min_area=0, min_side=0)
    roi_dataset.dataset.update(
        data_root=str(data_root), ann_file='train.json', data_prefix={'img': ''}
    )
    cfg.train_cfg.max_epochs = 1
    cfg.default_hooks.logger.interval = 1
    cfg.work_dir = str(work_dir)
    cfg.randomness = {'seed': 0}
    return cfg
