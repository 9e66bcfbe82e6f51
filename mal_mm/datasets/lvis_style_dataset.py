"""LVISStyleDataset: a COCO-style file whose images are named by their address."""

from __future__ import annotations

from mmdet.datasets import CocoDataset
from mmdet.registry import DATASETS

from ..formats.paths import image_file_name


@DATASETS.register_module()
class LVISStyleDataset(CocoDataset):
    """mmdet's CocoDataset for files as LVIS v1 has them, with any classes.

    Their images have no `file_name`; the folder and name are the path of their `coco_url`. mmdet's
    own LVISV1Dataset needs the `lvis` package; this one does not.
    """

    def parse_data_info(self, raw_data_info: dict) -> dict:
        """Parse one image and its annotations."""
        image = raw_data_info['raw_img_info']
        named = {**image, 'file_name': image_file_name(image)}
        return super().parse_data_info({**raw_data_info, 'raw_img_info': named})
