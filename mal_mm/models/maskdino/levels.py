"""Feature maps of several resolutions as one sequence of tokens, and back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor


class LevelTokens(NamedTuple):
    """Maps in a row, level after level, each row by row.

    Attributes:
        tokens: (B, N, C), N the cells of all levels.
        sizes: (height, width) of each level.
        shapes: (L, 2) the same as a tensor, as deformable attention wants it.
        starts: (L,) where each level begins in `tokens`.
    """

    tokens: Tensor
    sizes: list[tuple[int, int]]
    shapes: Tensor
    starts: Tensor


def flatten_levels(maps: Sequence[Tensor]) -> LevelTokens:
    """Maps (B, C, H_l, W_l) -> their tokens, in the order given."""
    sizes = [(feat.shape[-2], feat.shape[-1]) for feat in maps]
    shapes = torch.tensor(sizes, device=maps[0].device)
    areas = shapes.prod(1)
    tokens = torch.cat([feat.flatten(2).transpose(1, 2) for feat in maps], dim=1)
    return LevelTokens(tokens, sizes, shapes, areas.cumsum(0) - areas)


def split_levels(tokens: Tensor, sizes: Sequence[tuple[int, int]]) -> list[Tensor]:
    """Inverse of `flatten_levels`: (B, N, C) -> maps (B, C, H_l, W_l)."""
    parts = tokens.split([h * w for h, w in sizes], dim=1)
    return [
        part.transpose(1, 2).unflatten(2, size) for part, size in zip(parts, sizes, strict=True)
    ]
