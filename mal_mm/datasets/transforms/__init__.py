"""Transforms of one sample, that is one box (phase 1) or one image (phase 2)."""

from .load_any_image import LoadAnyImage
from .load_mask_quality_annotations import LoadMaskQualityAnnotations
from .load_start_mask import LoadStartMask
from .pack_mask_quality_inputs import PackMaskQualityInputs
from .pack_roi_inputs import PackRoIInputs
from .roi_crop import RoICrop

__all__ = [
    'LoadAnyImage',
    'LoadMaskQualityAnnotations',
    'LoadStartMask',
    'PackMaskQualityInputs',
    'PackRoIInputs',
    'RoICrop',
]
