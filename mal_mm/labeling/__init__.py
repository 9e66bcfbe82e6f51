"""From a trained labeler to masks in image coordinates and in annotation files."""

from .coco_labeling import Summary, label_coco
from .engine import LabelingEngine
from .pseudo_mask import PseudoMask
from .quality import mask_quality
from .region_rle import encode_region

__all__ = [
    'LabelingEngine',
    'PseudoMask',
    'Summary',
    'encode_region',
    'label_coco',
    'mask_quality',
]
