"""Mean-field refinement of masks under a CRF with a local bilateral kernel."""

from __future__ import annotations

import logging
import math

import torch
import torch.nn.functional as F
from mmengine.logging import print_log
from torch import Tensor, nn

# Eight float32 planes of so many cells fill 2 MB, the usual second-level cache of a core.
_CACHED_CELLS = 2**16


def pairwise_kernel(image: Tensor, offset: tuple[int, int], zeta: float, omega: float) -> Tensor:
    """Pairwise weight between each pixel and its neighbour at `offset`.

    Source: MAL, arXiv 2301.03992, Eq. (4): omega * exp(-|I_i - I_j|^2 / (2 zeta^2)).

    Args:
        image: (N, C, H, W) normalised colours.
        offset: (rows, columns) from a pixel to its neighbour.
        zeta: colour bandwidth, > 0, in normalised colour units.
        omega: weight of the pairwise potential.

    Returns:
        (N, H, W) weight of the message from `pixel + offset` to `pixel`; 0 where the neighbour is
        outside.
    """
    N, _, H, W = image.shape
    dy, dx = offset
    here, there = _overlap(H, W, dy, dx)
    distance = (image[(..., *here)] - image[(..., *there)]).square_().sum(1)
    weight = image.new_zeros(N, H, W)
    weight[(..., *here)] = omega * torch.exp(distance * (-0.5 / zeta**2))
    return weight


def _overlap(H: int, W: int, dy: int, dx: int) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    here = slice(max(-dy, 0), H - max(dy, 0)), slice(max(-dx, 0), W - max(dx, 0))
    there = slice(max(dy, 0), H - max(-dy, 0)), slice(max(dx, 0), W - max(-dx, 0))
    return here, there


class MeanField(nn.Module):
    """Refine mask probabilities into binary labels that follow the colours of the image.

    Source: MAL, arXiv 2301.03992, Sec. 3.3 and Alg. 1, in the form that the released code runs:
    messages from the 8 neighbours and from the pixel itself (weight 1), a fixed number of
    iterations, probabilities clamped before the first and after every iteration, background forced
    outside the box.

    The two labels' messages differ only in sign of the log-odds, so one channel
    z = log q - log(1 - q) carries both: z <- clamp(sum_j K_ij z_j, +-logit(clamp)), a 9-point
    stencil. It gives the same labels as the two-label form at a fraction of the cost.

    Args:
        kernel_size: side of the neighbourhood, odd.
        num_iters: number of iterations, >= 0 (released 100; the paper: until convergence).
        zeta: colour bandwidth in normalised colour units (released 0.1, paper 0.5).
        omega: weight of the pairwise potential (released: 1, that is none; paper 2).
        clamp: probabilities stay in this range, symmetric about 0.5.
        fused: on a GPU all iterations in one kernel, see `mean_field_kernel`, instead of a
            thousand; off until it has been measured on one. Elsewhere without effect.

    Raises:
        ValueError: an argument outside its range.
    """

    def __init__(
        self,
        kernel_size: int = 3,
        num_iters: int = 100,
        zeta: float = 0.1,
        omega: float = 1.0,
        clamp: tuple[float, float] = (0.1, 0.9),
        fused: bool = False,
    ) -> None:
        super().__init__()
        if kernel_size < 3 or kernel_size % 2 == 0:
            raise ValueError(
                f'`kernel_size` must be odd and at least 3, got {kernel_size}; use 3 or 5'
            )
        if num_iters < 0:
            raise ValueError(f'`num_iters` must be >= 0, got {num_iters}')
        if zeta <= 0:
            raise ValueError(f'`zeta` must be > 0, got {zeta}')
        low, high = clamp
        if not (0 < low < 0.5 and math.isclose(low + high, 1)):
            raise ValueError(f'`clamp` must be (c, 1 - c) with 0 < c < 0.5, got {tuple(clamp)}')
        self.kernel_size = kernel_size
        self.num_iters = num_iters
        self.zeta = zeta
        self.omega = omega
        self.low, self.high = low, high
        self.fused = fused

    def extra_repr(self) -> str:
        return (
            f'kernel_size={self.kernel_size}, num_iters={self.num_iters}, zeta={self.zeta}, '
            f'omega={self.omega}, clamp=({self.low}, {self.high})'
        )

    @torch.no_grad()
    def forward(self, image: Tensor, probs: Tensor, box_masks: Tensor | None = None) -> Tensor:
        """Refine.

        Args:
            image: (N, C, H, W) normalised colours.
            probs: (N, H, W) foreground probability in [0, 1].
            box_masks: (N, H, W) share of the cell inside the box, or None for no box.

        Returns:
            (N, H, W) uint8 labels, 1 = foreground.

        Raises:
            ValueError: the shapes differ.
        """
        N, _, H, W = image.shape
        if probs.shape != (N, H, W):
            raise ValueError(f'`probs` must be {(N, H, W)} like `image`, got {tuple(probs.shape)}')
        if box_masks is not None and box_masks.shape != probs.shape:
            raise ValueError(
                f'`box_masks` must be {(N, H, W)} like `image`, got {tuple(box_masks.shape)}'
            )
        with torch.autocast(image.device.type, enabled=False), _no_denormals(image.device):
            if image.is_cuda:
                return self._refine(image.float(), probs.float(), box_masks)
            # as many crops at a time as stay in the cache through all iterations: half the time
            count = max(_CACHED_CELLS // max(H * W, 1), 1)
            parts = [
                self._refine(
                    image[start : start + count].float(),
                    probs[start : start + count].float(),
                    None if box_masks is None else box_masks[start : start + count],
                )
                for start in range(0, max(N, 1), count)
            ]
            return torch.cat(parts) if len(parts) > 1 else parts[0]

    def _refine(self, image: Tensor, probs: Tensor, box_masks: Tensor | None) -> Tensor:
        limit = math.log(self.high / self.low)
        inside = None
        if box_masks is not None:
            probs = probs * box_masks
            inside = box_masks > 0.5
        z = probs.clamp(self.low, self.high).logit()
        ceiling: float | Tensor = limit
        if inside is not None:
            # outside the box both bounds are the lower one, so one clamp also forces background
            ceiling = torch.where(inside, limit, -limit)
            z = torch.where(inside, z, -limit)

        radius = self.kernel_size // 2
        # K is symmetric: half of the neighbours tell the weights of the other half
        half = [
            (dy, dx)
            for dy in range(radius + 1)
            for dx in range(-radius, radius + 1)
            if dy > 0 or dx > 0
        ]
        weights = [pairwise_kernel(image, offset, self.zeta, self.omega) for offset in half]
        if not torch.is_tensor(ceiling):
            ceiling = torch.full_like(z, limit)
        return (self._iterate(z, weights, ceiling, half) > 0).to(torch.uint8)

    def _iterate(
        self, z: Tensor, weights: list[Tensor], ceiling: Tensor, half: list[tuple[int, int]]
    ) -> Tensor:
        """(N, H, W) log-odds after all iterations."""
        limit = math.log(self.high / self.low)
        if self.fused and z.is_cuda:
            try:
                from .mean_field_kernel import iterate

                radius = self.kernel_size // 2
                with torch.cuda.device(z.device):  # Triton starts on the current one
                    return iterate(z, weights, ceiling, limit, self.num_iters, radius)
            except Exception as error:  # no Triton, or one that cannot compile for this card
                self.fused = False
                print_log(
                    f'the mean field goes on without its fused kernel: {error!r}',
                    level=logging.WARNING,
                )
        N, H, W = z.shape
        radius = self.kernel_size // 2
        # One padded plane, flat: a neighbour is a constant offset, so every pass is a contiguous
        # fused multiply-add over the batch; the pad (0) is the message from beyond the crop's
        # edge.
        P = W + 2 * radius

        def pad(t: Tensor) -> Tensor:
            return F.pad(t, (radius, radius, radius, radius)).flatten()

        z_flat, ceiling_flat = pad(z), pad(ceiling)
        floor_flat = pad(torch.full_like(z, -limit))
        weights_flat = [pad(w) for w in weights]
        total = torch.empty_like(z_flat)
        size = z_flat.numel()
        passes = []  # (receives, weight, sends), views of the same planes in every iteration
        for (dy, dx), weight in zip(half, weights_flat, strict=True):
            shift = dy * P + dx
            early, late = slice(0, size - shift), slice(shift, size)
            # pixel receives from pixel + offset, and pixel + offset from pixel, same weight
            passes.append((total[early], weight[early], z_flat[late]))
            passes.append((total[late], weight[early], z_flat[early]))
        for _ in range(self.num_iters):
            total.copy_(z_flat)  # centre weight 1
            for receives, weight, sends in passes:
                receives.addcmul_(weight, sends)
            torch.clamp(total, floor_flat, ceiling_flat, out=z_flat)
        return z_flat.view(N, H + 2 * radius, P)[:, radius:-radius, radius:-radius]


class _no_denormals:
    """Flush denormals on the CPU: tiny kernel weights otherwise cost ten times the time."""

    def __init__(self, device: torch.device) -> None:
        # torch can set the mode but not tell it; a denormal product does
        denormal = torch.tensor(1e-30) * 1e-10
        self.to_change = device.type == 'cpu' and denormal.item() != 0

    def __enter__(self) -> None:
        if self.to_change:
            torch.set_flush_denormal(True)

    def __exit__(self, *exc: object) -> None:
        if self.to_change:
            torch.set_flush_denormal(False)
