"""RoICrop: one box of an image -> the crop around it."""

from __future__ import annotations

import numpy as np
from mmcv.transforms import BaseTransform
from mmdet.registry import TRANSFORMS
from mmdet.structures.bbox import HorizontalBoxes
from mmdet.structures.mask import BitmapMasks

from ...geometry import (
    EXPANSIONS,
    PADDINGS,
    box_to_crop,
    clip_boxes,
    crop_window,
    expand_fixed,
    expand_randomly,
    tight_window,
)


@TRANSFORMS.register_module()
class RoICrop(BaseTransform):
    """Expand the box, cut the window out, resize it to a square.

    Reads `img` (H, W, 3) uint8, `box` (4,) xyxy in image pixels and, where it is there,
    `is_background`. Writes `img` (the crop), `img_shape`, `window` (4,) and `gt_bboxes`, the box
    in crop pixels, so that mmdet's own RandomFlip and PackDetInputs go on. A `start_mask` (H, W),
    see LoadStartMask, becomes the crop's `gt_masks`; nothing of it lies outside the image, however
    that is padded.

    Args:
        crop_size: side of the crop in pixels.
        expansion: 'released' or 'paper' (random, see `geometry.expand_randomly`), 'tight' (the
            box's own pixels), or 'fixed' (labeling). A box on background (`is_background`) is
            always cut out tight: expanded, it would show the objects around.
        theta: largest random expansion in halves of the box side (paper and released 1.2; Table 5
            tries 0.6 to 1.6).
        margin: expansion of every side for 'fixed', in halves of the box side.
        padding: what lies outside the image: 'wrap' (released), 'reflect' or 'mean'.
        fill: colour for 'mean' in the loaded channel order (mmcv loads BGR).

    Raises:
        ValueError: an argument outside its range.
    """

    def __init__(
        self,
        crop_size: int = 512,
        expansion: str = 'released',
        theta: float = 1.2,
        margin: float = 0.3,
        padding: str = 'wrap',
        fill: tuple[float, float, float] = (103.53, 116.28, 123.675),
    ) -> None:
        if expansion not in EXPANSIONS:
            raise ValueError(f'`expansion` must be one of {EXPANSIONS}, got {expansion!r}')
        if padding not in PADDINGS:
            raise ValueError(f'`padding` must be one of {PADDINGS}, got {padding!r}')
        if crop_size < 1 or theta < 0 or margin < 0:
            raise ValueError(
                '`crop_size` must be positive, `theta` and `margin` >= 0, '
                f'got {crop_size}, {theta}, {margin}'
            )
        self.crop_size = crop_size
        self.expansion = expansion
        self.theta = theta
        self.margin = margin
        self.padding = padding
        self.fill = (fill[0], fill[1], fill[2])

    def transform(self, results: dict) -> dict:
        """Crop; see the class."""
        image, box = results['img'], results['box']
        visible = clip_boxes(box, image.shape[:2])
        if self.expansion == 'tight' or results.get('is_background'):
            window = tight_window(visible, image.shape[:2])
        elif self.expansion == 'fixed':
            window = expand_fixed(visible, self.margin)[0]
        else:
            # the global generator: mmengine seeds it per worker, RoIDataset per fixed view
            window = expand_randomly(visible, self.theta, np.random, self.expansion)
        results['img'] = crop_window(
            image, window, self.crop_size, self.padding, self.fill, exact=self.expansion == 'fixed'
        )
        results['img_shape'] = (self.crop_size, self.crop_size)
        results['window'] = window
        crop_box = box_to_crop(box, window, image.shape[:2], self.crop_size)
        results['gt_bboxes'] = HorizontalBoxes(crop_box[None])
        if 'start_mask' in results:
            mask = self._cut_mask(results.pop('start_mask'), window)
            results['gt_masks'] = BitmapMasks(mask[None], self.crop_size, self.crop_size)
        return results

    def _cut_mask(self, mask: np.ndarray, window: np.ndarray) -> np.ndarray:
        # resized as an image, so that mask and colours stay in place to each other
        grey = np.repeat(255 * mask[..., None], 3, axis=2)
        crop = crop_window(grey, window, self.crop_size, 'mean', fill=(0, 0, 0), exact=False)
        return (crop[..., 0] > 127).astype(np.uint8)

    def __repr__(self) -> str:
        return (
            f'{type(self).__name__}(crop_size={self.crop_size}, expansion={self.expansion!r}, '
            f'theta={self.theta}, margin={self.margin}, padding={self.padding!r})'
        )
