"""Overlays of masks on pictures, and the HTML review report."""

from .overlay import crop_around, draw_agreement, draw_masks
from .report import write_report

__all__ = ['crop_around', 'draw_agreement', 'draw_masks', 'write_report']
