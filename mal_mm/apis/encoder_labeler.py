"""A labeler whose encoder can be looked at before anything is trained."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.logging import MMLogger
from torch import nn

from .mask_labeler import MaskLabeler


def load_encoder_labeler(
    config: str | Path | Config, checkpoint: str | Path | None = None, **options: Any
) -> MaskLabeler:
    """Build a labeler for its teacher's encoder.

    Args:
        config: path of a config, or the config itself.
        checkpoint: weights of the labeler; None gives the encoder the weights that its `init_cfg`
            names, those that training starts from, with a warning where it names none.
        **options: see `MaskLabeler`.

    Raises:
        CheckpointError: the checkpoint or the one that `init_cfg` names is missing, broken, or of
            another architecture.
    """
    labeler = MaskLabeler(config, checkpoint, **options)
    if checkpoint is not None:
        return labeler
    encoder = labeler.model.teacher.encoder
    logger = MMLogger.get_current_instance()
    level = logger.level
    logger.setLevel(logging.WARNING)  # mmengine tells of each tensor in three lines
    try:
        encoder.init_weights()
    finally:
        logger.setLevel(level)
    if not _names_checkpoint(encoder):
        logger.warning(
            'the weights are random: no checkpoint was given and the `init_cfg` of the encoder '
            'names none'
        )
    return labeler


def _names_checkpoint(encoder: nn.Module) -> bool:
    for module in encoder.modules():
        init_cfg = getattr(module, 'init_cfg', None) or []
        if any('checkpoint' in each for each in ([init_cfg] if 'type' in init_cfg else init_cfg)):
            return True
    return False
