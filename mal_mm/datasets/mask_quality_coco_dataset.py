"""MaskQualityCocoDataset: CocoDataset that keeps the quality of pseudo-masks."""

from __future__ import annotations

from mmdet.datasets import CocoDataset
from mmdet.registry import DATASETS

from .mask_quality_mixin import MaskQualityMixin


@DATASETS.register_module()
class MaskQualityCocoDataset(MaskQualityMixin, CocoDataset):
    """mmdet's CocoDataset with `mask_quality` in each instance."""
