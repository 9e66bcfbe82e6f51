"""Mask DINO on two ranks; a module of its own because each rank imports it anew."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn


def train_rank(rank: int, folder: Path) -> None:
    """Two iterations; the second finds out whether a parameter had no gradient in the first.

    The first rank has three objects and saves the first losses, the other has none.
    """
    import mal_mm  # noqa: F401, I001  (before mmdet, as conftest.py does)
    import tiny_maskdino
    from mmdet.registry import MODELS

    torch.set_num_threads(1)
    store = f'file://{folder}/store'
    torch.distributed.init_process_group('gloo', init_method=store, rank=rank, world_size=2)
    torch.manual_seed(0)
    model = MODELS.build(tiny_maskdino.model_config('instance'))
    batch = tiny_maskdino.data_batch('instance', (2, 1) if rank == 0 else (0, 0))
    batch = model.data_preprocessor(batch, training=True)
    model = nn.parallel.DistributedDataParallel(model, broadcast_buffers=False)
    for iteration in range(2):
        torch.manual_seed(1)
        losses = model(**batch, mode='loss')
        sum(losses.values()).backward()
        if rank == 0 and iteration == 0:
            torch.save({k: loss.detach() for k, loss in losses.items()}, folder / 'losses.pth')
    torch.distributed.destroy_process_group()
