"""Overlays of masks on pictures, and the HTML review page."""

from .overlay import crop_around, draw_agreement, draw_masks
from .report import ReviewPage, write_report

__all__ = ['ReviewPage', 'crop_around', 'draw_agreement', 'draw_masks', 'write_report']
