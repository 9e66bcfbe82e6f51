"""PackMaskQualityInputs: mmdet's data sample with the quality of each mask."""

from __future__ import annotations

from typing import ClassVar

from mmdet.datasets.transforms import PackDetInputs
from mmdet.registry import TRANSFORMS

from .quality_labels import split_quality


@TRANSFORMS.register_module()
class PackMaskQualityInputs(PackDetInputs):
    """mmdet's PackDetInputs for labels from `LoadMaskQualityAnnotations`.

    `data_sample.gt_instances` gets `mask_quality`, (n,) float32 in [0, 1], beside plain labels.
    """

    mapping_table: ClassVar[dict[str, str]] = {
        **PackDetInputs.mapping_table,
        'gt_mask_quality': 'mask_quality',
    }

    def transform(self, results: dict) -> dict:
        """Split label and quality, then pack."""
        labels, quality = split_quality(results['gt_bboxes_labels'])
        return super().transform(
            {**results, 'gt_bboxes_labels': labels, 'gt_mask_quality': quality}
        )
