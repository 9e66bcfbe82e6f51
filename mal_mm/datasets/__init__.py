"""Data of phase 1: boxes in, one sample per box out; of phase 2: the quality of masks."""

from .coco_box_dataset import CocoBoxDataset
from .lvis_style_dataset import LVISStyleDataset
from .mask_quality_coco_dataset import MaskQualityCocoDataset
from .mask_quality_lvis_style_dataset import MaskQualityLVISStyleDataset
from .mask_quality_lvis_v1_dataset import MaskQualityLVISV1Dataset
from .resumable_sampler import ResumableSampler
from .roi_dataset import RoIDataset
from .transforms import (
    LoadAnyImage,
    LoadMaskQualityAnnotations,
    LoadStartMask,
    PackMaskQualityInputs,
    PackRoIInputs,
    RoICrop,
)

__all__ = [
    'CocoBoxDataset',
    'LVISStyleDataset',
    'LoadAnyImage',
    'LoadMaskQualityAnnotations',
    'LoadStartMask',
    'MaskQualityCocoDataset',
    'MaskQualityLVISStyleDataset',
    'MaskQualityLVISV1Dataset',
    'PackMaskQualityInputs',
    'PackRoIInputs',
    'ResumableSampler',
    'RoICrop',
    'RoIDataset',
]
