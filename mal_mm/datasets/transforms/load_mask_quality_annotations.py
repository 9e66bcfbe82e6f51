"""LoadMaskQualityAnnotations: annotations whose labels carry the quality of their mask."""

from __future__ import annotations

from mmdet.datasets.transforms import LoadAnnotations
from mmdet.registry import TRANSFORMS

from .quality_labels import join_quality


@TRANSFORMS.register_module()
class LoadMaskQualityAnnotations(LoadAnnotations):
    """mmdet's LoadAnnotations, with `mask_quality` of each instance hidden in its label.

    `PackMaskQualityInputs` at the end of the pipeline takes it out again; see `quality_labels`
    for why. An instance without `mask_quality` counts as 1.
    """

    def transform(self, results: dict) -> dict:
        """Load; `gt_bboxes_labels` becomes (n,) int64 of label and quality."""
        results = super().transform(results)
        quality = [each.get('mask_quality', 1.0) for each in results.get('instances', [])]
        results['gt_bboxes_labels'] = join_quality(results['gt_bboxes_labels'], quality)
        return results
