"""MaskQualityLVISV1Dataset: LVISV1Dataset that keeps the quality of pseudo-masks."""

from __future__ import annotations

from mmdet.datasets import LVISV1Dataset
from mmdet.registry import DATASETS

from .mask_quality_mixin import MaskQualityMixin


@DATASETS.register_module()
class MaskQualityLVISV1Dataset(MaskQualityMixin, LVISV1Dataset):
    """mmdet's LVISV1Dataset with `mask_quality` in each instance."""
