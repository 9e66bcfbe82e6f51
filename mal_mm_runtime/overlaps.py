"""Pixels that several instances of an image claim, each to one of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

OVERLAPS = ('keep', 'centre')


@dataclass(frozen=True)
class Claim:
    """The pixels that an instance claims.

    Attributes:
        mask: (h, w) bool.
        top, left: image pixel of the first one.
        box: (4,) xyxy, image pixels.
    """

    mask: np.ndarray
    top: int
    left: int
    box: np.ndarray


def resolve_overlaps(claims: Sequence[Claim], image_hw: tuple[int, int]) -> list[np.ndarray]:
    """Give each pixel to the instance whose box it is most central to, small boxes first.

    The one with the highest clamp(1.5 - d, 0.05, 1.5) / sqrt(box area) gets it, d the distance
    from the middle of the box in half sides (the larger of x and y). Probabilities are no help: a
    large object behind a small one is as sure of its pixels, and often surer.

    Args:
        claims: the instances of one image.
        image_hw: height and width of the image.

    Returns:
        (h, w) bool for each claim, a part of its mask. Of equals the one with the earlier box by
        coordinates gets it, so that the order of the claims does not matter; the same box twice is
        the same object twice, and both keep it.
    """
    best = np.full(image_hw, -1.0, dtype=np.float32)
    owner = np.full(image_hw, -1, dtype=np.int32)
    boxes = [tuple(claim.box.tolist()) for claim in claims]
    places = {box: place for place, box in enumerate(sorted(set(boxes)))}
    for box, claim in sorted(zip(boxes, claims, strict=True), key=lambda each: each[0]):
        window = _window(claim)
        score = _score(claim)
        wins = claim.mask & (score > best[window])
        best[window][wins] = score[wins]
        owner[window][wins] = places[box]
    return [
        claim.mask & (owner[_window(claim)] == places[box])
        for box, claim in zip(boxes, claims, strict=True)
    ]


def _score(claim: Claim) -> np.ndarray:
    x0, y0, x1, y1 = np.asarray(claim.box, dtype=np.float64)
    h, w = claim.mask.shape
    distances = [
        np.abs(first + np.arange(length) + 0.5 - (low + high) / 2) / max((high - low) / 2, 1e-6)
        for first, length, low, high in ((claim.top, h, y0, y1), (claim.left, w, x0, x1))
    ]
    distance = np.maximum(distances[0][:, None], distances[1][None])
    size = max((x1 - x0) * (y1 - y0), 1e-6) ** 0.5
    return (np.clip(1.5 - distance, 0.05, 1.5) / size).astype(np.float32)


def _window(claim: Claim) -> tuple[slice, slice]:
    h, w = claim.mask.shape
    return slice(claim.top, claim.top + h), slice(claim.left, claim.left + w)
