"""Mean field as the CRF loss calls it."""

from __future__ import annotations

import time
from collections.abc import Callable

import bench_mean_field
import torch
from torch import Tensor

from mal_mm.models.losses import MeanField

from . import Row, Size


def mean_field(device: str, size: Size) -> list[Row]:
    """Milliseconds of a call: as it is; on a GPU also from a CUDA graph, and the fused kernel."""
    torch.manual_seed(0)
    batch = bench_mean_field.make_batch(size.batch, size.field, device)
    field = MeanField()
    what = f'mean field {size.batch} x {size.field} x {size.field}'
    rows = [Row(what, _milliseconds(lambda: field(*batch)), 'ms', goal=('<=', 0.5))]
    if torch.device(device).type == 'cuda':
        replay, labels = _captured(field, batch)
        milliseconds = _milliseconds(replay)
        same = float((labels == field(*batch)).double().mean())
        rows.append(Row('  in a CUDA graph', milliseconds, 'ms', f'{same:.6f} of labels equal'))
        fused = MeanField(fused=True)
        same = float((fused(*batch) == field(*batch)).double().mean())
        note = f'{same:.6f} of labels equal' if fused.fused else 'NOT in use: see the log'
        milliseconds = _milliseconds(lambda: fused(*batch))
        rows.append(Row('  fused=True', milliseconds, 'ms', note, ('<=', 0.5)))
    return rows


def _captured(field: MeanField, batch: tuple[Tensor, ...]) -> tuple[Callable[[], None], Tensor]:
    """What replays one call from a graph, and the tensor that it writes."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        field(*batch)
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        labels = field(*batch)
    return graph.replay, labels


def _milliseconds(work: Callable[[], object], rounds: int = 20) -> float:
    """Of one call; on a GPU as fast as calls follow each other."""
    finish = torch.cuda.synchronize if torch.cuda.is_available() else lambda: None
    for _ in range(2):
        work()
    finish()
    start = time.perf_counter()
    for _ in range(rounds):
        work()
    finish()
    return 1000 * (time.perf_counter() - start) / rounds
