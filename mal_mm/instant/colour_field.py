"""Mean field over colours and neighbours: settles what the cut and the probabilities disagree on.

N crops of s x s pixels. z is the log-odds of the mask, u what is known of each pixel alone.
GrabCut knows colours and the edges between neighbours but forgets the probabilities it was
started from; here they stay a part of u. `mal_mm_runtime.colour_field` is the same without torch,
and holds the constants.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from mal_mm_runtime.colour_field import (
    BINS,
    MAX_EVIDENCE,
    MAX_ODDS,
    MIN_CONTRAST,
    MIN_RANGE,
    ROUNDS,
    SMOOTHING,
    STEPS,
    UNIT,
    UNKNOWN,
    neighbours,
)


def colour_field(probs: Tensor, lab: Tensor, in_image: Tensor, allowed: Tensor) -> Tensor:
    """Agree with the colours of object and surroundings, and with like neighbours.

    Args:
        probs: (N, s, s) in [0, 1], what is known so far.
        lab: (N, 3, s, s) colours, L in [0, 100].
        in_image: (N, s, s) bool, false where a crop shows padding.
        allowed: (N, s, s) bool, where the object may be.

    Returns:
        (N, s, s) float32 in [0, 1], zero where not allowed.
    """
    known = probs.clamp(0.02, 0.98).logit()
    cells = _colour_cells(lab)
    links = list(_links(lab))
    shown = in_image.flatten(1).float()
    z = known.masked_fill(~allowed, -MAX_ODDS)
    for _ in range(ROUNDS):
        belief = z.sigmoid().flatten(1)
        evidence = _log_ratio(cells, belief * shown, (1 - belief) * shown)
        u = known + evidence.clamp(-MAX_EVIDENCE, MAX_EVIDENCE).view_as(known)
        for _ in range(STEPS):
            z = _message(z, links).add_(u).clamp_(-MAX_ODDS, MAX_ODDS)
            z = z.masked_fill(~allowed, -MAX_ODDS)
    return z.sigmoid().masked_fill(~allowed, 0)


def _colour_cells(lab: Tensor) -> Tensor:
    """(N, s * s) cell of each pixel's colour, as fine as the colours of its crop allow."""
    colours = lab.flatten(2)
    # a hundredth of the pixels may lie beyond; sorted by hand: torch.quantile is slower
    count = colours.shape[2]
    ordered = colours.sort(2).values
    low = ordered[:, :, int(0.005 * count), None]
    high = ordered[:, :, count - 1 - int(0.005 * count), None]
    span = (high - low).amax(1, keepdim=True).clamp(min=MIN_RANGE)
    places = ((colours - (high + low) / 2) / span + 0.5) * (BINS - 1)
    places = places.clamp(0, BINS - 1).round().long()
    return (places[:, 0] * BINS + places[:, 1]) * BINS + places[:, 2]


def _log_ratio(cells: Tensor, inside: Tensor, outside: Tensor) -> Tensor:
    """(N, s * s) log of how much more of each pixel's colour is inside than outside."""
    models = torch.stack([_colour_model(cells, weights) for weights in (inside, outside)])
    logs = (models + UNKNOWN).log()
    return (logs[0] - logs[1]).gather(1, cells)


def _colour_model(cells: Tensor, weights: Tensor) -> Tensor:
    """(N, cells) smoothed share of each colour."""
    N = len(cells)
    # in whole numbers: a GPU adds in any order, and sums of floats would differ from run to run
    whole = (weights * UNIT).round().long()
    counts = whole.new_zeros(N, BINS**3).scatter_add_(1, cells, whole).to(weights) / UNIT
    offsets = torch.arange(-3, 4, device=weights.device, dtype=weights.dtype)
    kernel = torch.exp(-0.5 * (offsets / SMOOTHING) ** 2)
    kernel = (kernel / kernel.sum()).view(1, 1, -1)
    counts = counts.view(N, BINS, BINS, BINS)
    for _ in range(3):  # each axis comes last once
        rows = F.pad(counts.reshape(-1, 1, BINS), (3, 3))
        counts = F.conv1d(rows, kernel).view_as(counts).permute(0, 3, 1, 2)
    return counts.reshape(N, -1) / weights.sum(1, keepdim=True).clamp(min=1)


_Place = tuple[Any, slice, slice]


def _links(lab: Tensor) -> Iterator[tuple[_Place, _Place, Tensor]]:
    """Pairs of neighbours: where the one and the other are, and how much alike."""
    differences = []
    for here, there, length in neighbours(*lab.shape[2:]):
        one, other = (..., *here), (..., *there)
        squared = (lab[one] - lab[other]).square_().sum(1)
        differences.append((one, other, squared, length))
    nearest = torch.cat([squared.flatten(1) for _, _, squared, _ in differences[:4]], 1)
    scale = (2 * nearest.mean(1)).clamp(min=MIN_CONTRAST)[:, None, None]
    for one, other, squared, length in differences:
        yield one, other, torch.exp(-squared / scale) / length


def _message(z: Tensor, links: list[tuple[_Place, _Place, Tensor]]) -> Tensor:
    """(N, s, s) what the neighbours of each pixel say to it."""
    opinion = (z / 2).tanh()
    total = torch.zeros_like(z)
    for one, other, weight in links:
        total[one] += weight * opinion[other]
        total[other] += weight * opinion[one]
    return total
