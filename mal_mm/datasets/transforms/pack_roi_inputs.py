"""PackRoIInputs: a crop and its box as mmdet's data sample."""

from __future__ import annotations

from mmdet.datasets.transforms import PackDetInputs
from mmdet.registry import TRANSFORMS


@TRANSFORMS.register_module()
class PackRoIInputs(PackDetInputs):
    """mmdet's PackDetInputs with the meta information that a crop needs.

    `data_sample.gt_instances` holds one box in crop pixels and its label; the metainfo tells which
    box of which image it is (`img_id`, `box_index`), its image-frame `box_area` and the `window`
    that maps the crop back.
    """

    META_KEYS = (
        'img_id',
        'img_path',
        'ori_shape',
        'img_shape',
        'flip',
        'flip_direction',
        'box',
        'box_area',
        'box_index',
        'window',
    )

    def __init__(self, meta_keys: tuple[str, ...] = META_KEYS) -> None:
        super().__init__(meta_keys=meta_keys)
