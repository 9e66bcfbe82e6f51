"""Losses of phase 1."""

from .crf_loss import CRFLoss
from .mean_field import MeanField
from .mil_loss import MILLoss, dice_loss, mil_loss

__all__ = ['CRFLoss', 'MILLoss', 'MeanField', 'dice_loss', 'mil_loss']
