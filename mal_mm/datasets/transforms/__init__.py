"""Transforms of one sample, that is one box."""

from .pack_roi_inputs import PackRoIInputs
from .roi_crop import RoICrop

__all__ = ['PackRoIInputs', 'RoICrop']
