"""The Python API."""

from .mask_labeler import MaskLabeler

__all__ = ['MaskLabeler']
