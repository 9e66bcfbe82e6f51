"""A tiny labeler that, without training, draws masks neither empty nor the whole box."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from mmdet.registry import MODELS
from mmengine.config import Config
from PIL import Image
from tiny_labeler import model_config

from mal_mm.models import MaskAutoLabeler


def sharp_model() -> MaskAutoLabeler:
    """Large weights make decided masks; student and teacher start from different ones."""
    torch.manual_seed(2)
    model = MODELS.build(model_config()).eval()
    with torch.no_grad():
        for network in (model.student, model.teacher):
            for parameter in network.parameters():
                parameter.mul_(3)
    return model


def write_sharp_labeler(folder: Path) -> tuple[Path, Path]:
    """Write its config and checkpoint into a folder.

    Returns:
        Paths of the two.
    """
    checkpoint = folder / 'labeler.pth'
    torch.save({'state_dict': sharp_model().state_dict()}, checkpoint)
    config = {
        'custom_imports': {'imports': ['mal_mm'], 'allow_failed_imports': False},
        'default_scope': 'mmdet',
        'model': model_config(),
    }
    Config(config).dump(folder / 'labeler.py')
    return folder / 'labeler.py', checkpoint


def blotches(height: int = 90, width: int = 120, seed: int = 0) -> np.ndarray:
    """(H, W, 3) uint8 picture of smooth coloured blotches."""
    colours = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return np.array(Image.fromarray(colours).resize((width, height), Image.BICUBIC))
