"""The mini Mask DINO of the reference vectors: arrays, weights under our names, built parts.

In the copy under tests/data, predicted masks hold every fourth row and column only; `assert_near`
knows.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mal_mm.checkpoints.loading import read_state_dict
from mal_mm.checkpoints.maskdino import import_state_dict
from mal_mm.models.maskdino import MaskDINODecoder, MaskDINOPixelDecoder

_ROOT = Path(__file__).resolve().parents[1]
_BESIDE = _ROOT.parent / 'shared' / 'maskdino'
REFERENCE_DIR = _BESIDE if _BESIDE.is_dir() else _ROOT / 'tests' / 'data' / 'maskdino'
CHECKPOINT = REFERENCE_DIR / 'maskdino_mini.pth'

PIXEL_DECODER = dict(
    in_channels=(16, 32, 64, 128),
    num_backbone_levels=3,
    num_extra_levels=1,
    feat_channels=32,
    mask_channels=32,
    num_layers=2,
    num_heads=4,
    feedforward_channels=64,
    feature_order='low2high',
)
DECODER = dict(
    num_classes=5,
    num_queries=20,
    num_layers=3,
    num_levels=4,
    embed_dims=32,
    mask_channels=32,
    num_heads=4,
    feedforward_channels=64,
)


@cache
def arrays(name: str) -> dict[str, np.ndarray]:
    """arrays('encoder') -> those in encoder.npz."""
    with np.load(REFERENCE_DIR / f'{name}.npz') as file:
        return dict(file)


def tensor(name: str, key: str) -> Tensor:
    return torch.from_numpy(arrays(name)[key])


def tensors(name: str, pattern: str, count: int = 4) -> list[Tensor]:
    """tensors('encoder', 'out_ms_{}') -> the four arrays out_ms_0 to out_ms_3."""
    return [tensor(name, pattern.format(i)) for i in range(count)]


def backbone_maps() -> list[Tensor]:
    return [tensor('encoder', f'in_res{i}') for i in (2, 3, 4, 5)]


@cache
def official_state() -> dict[str, Tensor]:
    return read_state_dict(CHECKPOINT)


@cache
def state(feature_order: str = 'low2high') -> dict[str, Tensor]:
    """Tensors of the mini model under our names; for 'high2low', with their input order."""
    official = dict(official_state())
    if feature_order == 'high2low':
        for key in official_state():
            if '.input_proj.0.' in key:
                other = key.replace('.input_proj.0.', '.input_proj.2.')
                official[key], official[other] = official[other], official[key]
    return import_state_dict(official)


def part(of: dict[str, Tensor], name: str) -> dict[str, Tensor]:
    """The tensors whose names hold `name` and a dot, without all that is before."""
    marker = f'.{name}.'
    return {key.partition(marker)[2]: value for key, value in of.items() if marker in key}


def pixel_decoder(**changes: object) -> MaskDINOPixelDecoder:
    """With the weights that fit its feature order, in training mode."""
    built = MaskDINOPixelDecoder(**{**PIXEL_DECODER, **changes})
    order = 'high2low' if built.coarse_first else 'low2high'
    built.load_state_dict(part(state(order), 'pixel_decoder'))
    return built


def decoder(**changes: object) -> MaskDINODecoder:
    """With the reference weights, in training mode."""
    built = MaskDINODecoder(**{**DECODER, **changes})
    weights = part(state(), 'decoder')
    if not built.two_stage:
        # the semantic model's own parameters
        weights = {k: v for k, v in weights.items() if not k.startswith('memory_trans')}
        for name in ('query_feat.weight', 'query_embed.weight'):
            weights[name] = tensor('decoder_eval', f'sem_{name}')
        for name in ('class_embed.weight', 'class_embed.bias'):
            weights[name] = tensor('decoder_eval', f'sem_{name}')
    built.load_state_dict(weights)
    return built


def assert_near(ours: Tensor, reference: Tensor, tolerance: float = 3e-5) -> None:
    """The largest difference is within `tolerance` of the reference's largest magnitude."""
    if ours.shape != reference.shape:
        ours = ours[..., ::4, ::4]
    assert ours.shape == reference.shape
    assert torch.isfinite(ours).all()
    assert (ours - reference).abs().max() <= tolerance * reference.abs().max()
