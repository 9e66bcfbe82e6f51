"""The iterations of the mean field as a few kernels of a GPU; needs Triton, which torch brings.

A crop is cut into bands of rows, one for each block of threads, so that a batch keeps all of a
large GPU busy and a band stays in the cache beside its processor. A band goes through several
iterations alone: it starts with as many rows more on either side as wrong values creep in from
there meanwhile.

Checked in Triton's interpreter against the plain loop, and compiled for sm_75, sm_80 and sm_90;
it has not run on a GPU yet.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

# rows of a band, and iterations that it goes through alone
_ROWS, _STEPS = 32, 10
# cells that a block of threads handles at a time, and its warps
_CELLS, _WARPS = 2048, 16


@triton.jit
def _advance(
    z,
    advanced,
    scratch,
    weights,
    ceilings,
    height,
    width,
    all_cells,
    limit,
    steps,
    ROWS: tl.constexpr,
    RADIUS: tl.constexpr,
    CELLS: tl.constexpr,
):
    """One band of one crop; waits for its own threads alone between two iterations."""
    band = tl.program_id(1)
    crop = tl.program_id(0).to(tl.int64) * height * width
    top = tl.maximum(band * ROWS - steps * RADIUS, 0)
    bottom = tl.minimum((band + 1) * ROWS + steps * RADIUS, height)
    first, cells = crop + top * width, (bottom - top) * width  # of the band and what is around
    # two planes of its own, which take turns
    room = (ROWS + 2 * steps * RADIUS) * width
    own = scratch + (tl.program_id(0) * tl.num_programs(1) + band).to(tl.int64) * 2 * room
    for start in range(0, cells, CELLS):
        cell = start + tl.arange(0, CELLS)
        there = cell < cells
        tl.store(own + cell, tl.load(z + first + cell, mask=there), mask=there)
    tl.debug_barrier()
    for step in range(steps):
        source, target = own + (step % 2) * room, own + ((step + 1) % 2) * room
        for start in range(0, cells, CELLS):
            cell = start + tl.arange(0, CELLS)
            there = cell < cells
            total = tl.load(source + cell, mask=there, other=0.0)  # centre weight 1
            for dy in tl.static_range(0, RADIUS + 1):
                for dx in tl.static_range(-RADIUS, RADIUS + 1):
                    if dy > 0 or dx > 0:
                        # Cells beyond the left and right edge need no test: in a flat plane they
                        # are cells of another row, and their weight is 0.
                        plane = weights + (dy * (2 * RADIUS + 1) + dx - 1) * all_cells + first
                        after, before = cell + dy * width + dx, cell - dy * width - dx
                        ahead = tl.load(source + after, mask=after < cells, other=0.0)
                        total += tl.load(plane + cell, mask=there, other=0.0) * ahead
                        near = (before >= 0) & there
                        behind = tl.load(source + before, mask=near, other=0.0)
                        total += tl.load(plane + before, mask=near, other=0.0) * behind
            ceiling = tl.load(ceilings + first + cell, mask=there, other=0.0)
            clamped = tl.minimum(tl.maximum(total, -limit), ceiling)
            tl.store(target + cell, clamped, mask=there)
        tl.debug_barrier()
    last = own + (steps % 2) * room
    for start in range(0, ROWS * width, CELLS):
        cell = (band * ROWS - top) * width + start + tl.arange(0, CELLS)
        ours = (start + tl.arange(0, CELLS) < ROWS * width) & (cell < cells)
        tl.store(advanced + first + cell, tl.load(last + cell, mask=ours), mask=ours)


def iterate(
    z: Tensor, weights: list[Tensor], ceiling: Tensor, limit: float, num_iters: int, radius: int
) -> Tensor:
    """z <- clamp(sum_j K_ij z_j, -limit, ceiling), `num_iters` times.

    Args:
        z: (N, H, W) float32 log-odds; its memory is used.
        weights: of half of the neighbours, each (N, H, W), see `pairwise_kernel`; in rows from the
            pixel on: (0, 1), ..., (1, -radius), ..., (radius, radius).
        ceiling: (N, H, W) upper bound, at least -`limit`.
        limit: the lower bound is -`limit`.
        num_iters: number of iterations.
        radius: of the neighbourhood.

    Returns:
        (N, H, W) float32.
    """
    N, H, W = z.shape
    bands = triton.cdiv(H, _ROWS)
    z, ceiling, planes = z.contiguous(), ceiling.contiguous(), torch.stack(weights)
    advanced = torch.empty_like(z)
    scratch = z.new_empty(N * bands * 2 * (_ROWS + 2 * _STEPS * radius) * W)
    for done in range(0, num_iters, _STEPS):
        steps = min(_STEPS, num_iters - done)
        _advance[(N, bands)](
            z,
            advanced,
            scratch,
            planes,
            ceiling,
            H,
            W,
            N * H * W,
            limit,
            steps,
            ROWS=_ROWS,
            RADIUS=radius,
            CELLS=_CELLS,
            num_warps=_WARPS,
        )
        z, advanced = advanced, z
    return z
