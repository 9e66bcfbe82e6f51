"""How good masks are: against human masks, and against what the box alone would give."""

from typing import TYPE_CHECKING

import lazy_loader

from .average_precision import coco_ap
from .boundary_iou import boundary_iou
from .floors import box_fill_rle, inscribed_ellipse_rle
from .mask_iou import evaluate, mask_iou
from .tables import format_ap_table, format_class_table, format_summary

if TYPE_CHECKING:
    from .detector_boxes import label_detections
    from .mask_iou_metric import MaskIoUMetric

# what needs torch is imported by those who name it
__getattr__, __dir__, _ = lazy_loader.attach(
    __name__,
    submod_attrs={
        'detector_boxes': ['label_detections'],
        'mask_iou_metric': ['MaskIoUMetric'],
    },
)

__all__ = [
    'MaskIoUMetric',
    'boundary_iou',
    'box_fill_rle',
    'coco_ap',
    'evaluate',
    'format_ap_table',
    'format_class_table',
    'format_summary',
    'inscribed_ellipse_rle',
    'label_detections',
    'mask_iou',
]
