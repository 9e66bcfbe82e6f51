"""LoadStartMask: the mask that another labeler has drawn for a sample's box."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from mmcv.transforms import BaseTransform
from mmdet.registry import TRANSFORMS
from pycocotools import mask as mask_utils

from ...formats.coco import AnnotationError, annotation_to_rle, index_images
from ...formats.mal_fields import head_of, is_sound
from ...formats.videos import read_annotations


@TRANSFORMS.register_module()
class LoadStartMask(BaseTransform):
    """Give a sample the mask of its annotation in another file; RoICrop cuts it like the image.

    For a labeler that starts from masks that were drawn without training, see `StartMaskLoss`.
    Only masks that a labeler has drawn are taken: one that stands for an empty mask (`mal_flag`)
    is none, and of a true mask the labeler must not know.

    Reads `ann_id` and `ori_shape` (height, width). Writes `start_mask`, (H, W) uint8 of 0 and 1;
    all 0 where the file has none for the box.

    Args:
        ann_file: COCO file of a labeling run, with the ids of the training file.
    """

    def __init__(self, ann_file: str | Path) -> None:
        self.ann_file = str(ann_file)
        self._rles: dict[object, dict] | None = None

    def transform(self, results: dict) -> dict:
        """Add the mask; see the class.

        Raises:
            AnnotationError: the file is broken, or its mask has another size than the image.
        """
        if self._rles is None:
            self._rles = _read_masks(self.ann_file)
        size_hw = tuple(results['ori_shape'][:2])
        rle = self._rles.get(results['ann_id'])
        if rle is None:
            results['start_mask'] = np.zeros(size_hw, dtype=np.uint8)
            return results
        if tuple(rle['size']) != size_hw:
            raise AnnotationError(
                f'{self.ann_file}: the mask of annotation {results["ann_id"]!r} is '
                f'{rle["size"][0]} x {rle["size"][1]} (height x width), its image '
                f'{results["img_path"]} {size_hw[0]} x {size_hw[1]}; take the masks that were '
                'drawn for these images'
            )
        results['start_mask'] = mask_utils.decode(rle)
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}(ann_file={self.ann_file!r})'


def _read_masks(path: str) -> dict[object, dict]:
    """Compressed RLEs by annotation id."""
    data = read_annotations(path)
    if not head_of(data):
        raise AnnotationError(
            f'{path} was not written by a labeler of mal_mm; a labeler learns from boxes and must '
            'not see true masks. Make the file with tools/generate_pseudo_masks.py'
        )
    images = index_images(data, path)
    rles = {}
    for annotation in data['annotations']:
        if not is_sound(annotation):
            continue
        image = images.get(annotation.get('image_id'), {})
        try:
            rle = annotation_to_rle(annotation, image.get('height'), image.get('width'))
        except AnnotationError as error:
            raise AnnotationError(f'{path}: {error}') from None
        if rle is not None:
            rles[annotation.get('id')] = rle
    return rles
