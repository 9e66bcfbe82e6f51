"""Labelers as ONNX files, for machines without torch and mmdet. `mal_mm_runtime` reads them."""

from .check import CheckResult, boxes_of_file, check_export, drawn_boxes
from .graph import ExportError, LabelerGraph
from .onnx_file import export_labeler

__all__ = [
    'CheckResult',
    'ExportError',
    'LabelerGraph',
    'boxes_of_file',
    'check_export',
    'drawn_boxes',
    'export_labeler',
]
