"""Losses of phase 1."""

from .classification_loss import ClassificationLoss
from .crf_loss import CRFLoss
from .mean_field import MeanField
from .mil_loss import MILLoss, background_loss, dice_loss, mil_loss, mil_loss_printed
from .start_mask_loss import StartMaskLoss

__all__ = [
    'CRFLoss',
    'ClassificationLoss',
    'MILLoss',
    'MeanField',
    'StartMaskLoss',
    'background_loss',
    'dice_loss',
    'mil_loss',
    'mil_loss_printed',
]
