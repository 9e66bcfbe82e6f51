"""Heads of phase-2 segmenters that look at the quality of their pseudo-masks."""

from .quality_fcn_mask_head import QualityFCNMaskHead
from .quality_mask2former_head import QualityMask2FormerHead

__all__ = ['QualityFCNMaskHead', 'QualityMask2FormerHead']
