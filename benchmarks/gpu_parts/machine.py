"""What the numbers are measured on."""

from __future__ import annotations

import os

import common
import torch

from . import Row, Size


def measure(device: str, size: Size) -> list[Row]:
    """The card, its memory and what mmcv was compiled for."""
    rows = [Row(common.machine(device), None)]
    if torch.device(device).type == 'cuda':
        card = torch.cuda.get_device_properties(device)
        rows = [
            Row(card.name, card.total_memory / 2**30, 'GiB', f'sm_{card.major}{card.minor}'),
            Row(f'torch {torch.__version__}', None, note=f'CUDA {torch.version.cuda}'),
        ]
    rows.append(Row('CPU cores', os.cpu_count(), note='that decode and cut for the labeler'))
    return [*rows, Row('mmcv compiled ops', None, note=_compiled())]


def _compiled() -> str:
    try:
        from mmcv.ops import get_compiling_cuda_version

        return f'there, for CUDA: {get_compiling_cuda_version()}'
    except ImportError as error:
        return f'missing ({error})'
