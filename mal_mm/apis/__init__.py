"""The Python API."""

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from .mask_labeler import MaskLabeler

# the list of published weights, in this room too, needs no torch
__getattr__, __dir__, _ = lazy_loader.attach(
    __name__, submod_attrs={'mask_labeler': ['MaskLabeler']}
)

__all__ = ['MaskLabeler']
