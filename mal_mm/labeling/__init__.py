"""From a trained labeler to masks in image coordinates and in annotation files."""

from typing import TYPE_CHECKING

import lazy_loader

from ..formats.region_rle import encode_region
from .plan import Plan, Selection, make_plan
from .summary import Summary

if TYPE_CHECKING:
    from .coco_labeling import label_coco
    from .crop import PseudoMask
    from .engine import LabelingEngine
    from .job import JobError, LabelingJob
    from .portion_labeler import Output
    from .quality import mask_quality

# what needs torch is imported by those who name it: a review or a summary does not
__getattr__, __dir__, _ = lazy_loader.attach(
    __name__,
    submod_attrs={
        'coco_labeling': ['label_coco'],
        'crop': ['PseudoMask'],
        'engine': ['LabelingEngine'],
        'job': ['JobError', 'LabelingJob'],
        'portion_labeler': ['Output'],
        'quality': ['mask_quality'],
    },
)

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
