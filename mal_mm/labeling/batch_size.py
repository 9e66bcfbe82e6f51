"""The largest batch that the device can hold."""

from __future__ import annotations

import numpy as np
import torch

from .engine import LabelingEngine

CPU_BATCH_SIZE = 32
LARGEST = 256


def find_batch_size(engine: LabelingEngine) -> int:
    """Crops in one pass: half of the largest power of two that fits, which leaves room to breathe.

    Tries on the device, from 256 down; 32 on a CPU, whose memory is not what limits it.
    """
    device = engine.labeler.data_preprocessor.device
    if device.type == 'cpu':
        return CPU_BATCH_SIZE
    # a large box: its map is decoded at the finest scale
    (crop,) = engine.make_crops(np.zeros((256, 256, 3), np.uint8), np.array([[8, 8, 248, 248]]))
    size = LARGEST
    while size > 1:
        try:
            engine.draw([crop] * size)
            break
        except torch.cuda.OutOfMemoryError:
            torch.cuda.empty_cache()
            size //= 2
    return max(size // 2, 1)
