"""Annotation files of other tools into COCO-style files and back."""

from .findings import Findings
from .merge import merge_corrections
from .registry import FORMATS, ReadOptions, WriteOptions, find_format, guess_format

__all__ = [
    'FORMATS',
    'Findings',
    'ReadOptions',
    'WriteOptions',
    'find_format',
    'guess_format',
    'merge_corrections',
]
