"""What the machine can do at best, measured in the same run as the job."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import common
import torch


@dataclass(frozen=True)
class Limits:
    """Of the threads in use.

    Args:
        fp32, bf16: operations a second of `torch.mm`.
        memcpy: bytes a second, read and written, of a copy too large for the caches.
    """

    fp32: float
    bf16: float
    memcpy: float

    def __str__(self) -> str:
        return (
            f'torch.mm: {self.fp32 / 1e9:.0f} GFLOP/s in fp32, {self.bf16 / 1e9:.0f} in bf16; '
            f'memcpy: {self.memcpy / 1e9:.1f} GB/s'
        )


def measure_limits(side: int = 1536, megabytes: int = 256) -> Limits:
    """Measure.

    Args:
        side: of the square matrices that are multiplied.
        megabytes: that are copied.
    """

    def rate(dtype: torch.dtype) -> float:
        a, b = torch.randn(2, side, side).to(dtype)
        out = torch.empty_like(a)
        return 2 * side**3 / _seconds(lambda: torch.mm(a, b, out=out))

    source = torch.zeros(megabytes * 2**20 // 4)
    target = torch.ones_like(source)
    copied = 2 * source.numel() * 4 / _seconds(lambda: target.copy_(source))
    return Limits(rate(torch.float32), rate(torch.bfloat16), copied)


def _seconds(work: Callable[[], object]) -> float:
    return common.time_in_turn({'': work}, rounds=5, warmup=1)[''].median
