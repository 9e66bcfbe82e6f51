"""From a trained labeler to masks in image coordinates and in annotation files."""

from ..formats.region_rle import encode_region
from .coco_labeling import label_coco
from .crop import PseudoMask
from .engine import LabelingEngine
from .job import JobError, LabelingJob
from .plan import Plan, Selection, make_plan
from .portion_labeler import Output
from .quality import mask_quality
from .summary import Summary

__all__ = [
    'JobError',
    'LabelingEngine',
    'LabelingJob',
    'Output',
    'Plan',
    'PseudoMask',
    'Selection',
    'Summary',
    'encode_region',
    'label_coco',
    'make_plan',
    'mask_quality',
]
