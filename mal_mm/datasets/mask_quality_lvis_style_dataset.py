"""MaskQualityLVISStyleDataset: LVISStyleDataset that keeps the quality of pseudo-masks."""

from __future__ import annotations

from mmdet.registry import DATASETS

from .lvis_style_dataset import LVISStyleDataset
from .mask_quality_mixin import MaskQualityMixin


@DATASETS.register_module()
class MaskQualityLVISStyleDataset(MaskQualityMixin, LVISStyleDataset):
    """LVISStyleDataset with `mask_quality` in each instance."""
