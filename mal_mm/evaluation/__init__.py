"""How good masks are: against human masks, and against what the box alone would give."""

from .floors import box_fill_rle, inscribed_ellipse_rle
from .mask_iou import evaluate, mask_iou
from .tables import format_class_table, format_summary

__all__ = [
    'box_fill_rle',
    'evaluate',
    'format_class_table',
    'format_summary',
    'inscribed_ellipse_rle',
    'mask_iou',
]
