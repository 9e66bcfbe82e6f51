"""Small data sets to try the labeler on: boxes to learn from, masks to judge by."""

from .coco_writer import summarize
from .nuclei import make_nuclei
from .photos import make_photos
from .shapes import make_shapes

__all__ = ['make_nuclei', 'make_photos', 'make_shapes', 'summarize']
