"""MaskQualityMixin: the quality of pseudo-masks, for mmdet's COCO-style data sets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmengine.logging import MMLogger

from ..formats.errors import AnnotationError, shorten
from ..formats.mal_fields import QUALITY, has_quality

if TYPE_CHECKING:
    from mmdet.datasets import CocoDataset as Base
else:
    Base = object  # the data set comes after it in the list of bases


class MaskQualityMixin(Base):
    """Adds `mask_quality`, in [0, 1], to each instance of a subclass of CocoDataset.

    It is the annotation's `mal_quality`, or 1 where there is none: a human drew the mask.
    """

    def load_data_list(self) -> list[dict]:
        """Load; warns when no annotation of the file has a quality.

        Raises:
            AnnotationError: a quality is no number in [0, 1].
        """
        self._has_quality = False
        data_list = super().load_data_list()
        if not self._has_quality:
            MMLogger.get_current_instance().warning(
                f'{self.ann_file}: no annotation has {QUALITY!r}, so every mask counts fully; '
                'tools/generate_pseudo_masks.py writes it'
            )
        return data_list

    def parse_data_info(self, raw_data_info: dict) -> dict:
        """Parse one image and its annotations."""
        data_info = super().parse_data_info(raw_data_info)
        annotations = raw_data_info['raw_ann_info']
        if len(data_info['instances']) < len(annotations):
            # What is left out is the data set's own business, and it does not say which; so ask
            # it about each. Rarely needed: most images keep all of theirs.
            annotations = [each for each in annotations if self._is_kept(each, raw_data_info)]
        for instance, annotation in zip(data_info['instances'], annotations, strict=True):
            instance['mask_quality'] = self._quality(annotation)
        return data_info

    def _is_kept(self, annotation: dict, raw_data_info: dict) -> bool:
        alone = super().parse_data_info({**raw_data_info, 'raw_ann_info': [annotation]})
        return bool(alone['instances'])

    def _quality(self, annotation: dict) -> float:
        if not has_quality(annotation):
            return 1.0
        self._has_quality = True
        quality = annotation[QUALITY]
        if not isinstance(quality, (int, float)) or not 0 <= quality <= 1:  # NaN is in no range
            raise AnnotationError(
                f'{self.ann_file}: annotation {annotation.get("id")}: `{QUALITY}` must be a '
                f'number in [0, 1], got {shorten(quality)}; correct or remove it'
            )
        return float(quality)
