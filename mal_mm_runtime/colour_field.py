"""Mean field over colours and neighbours: settles what the cut and the probabilities disagree on.

One crop of s x s pixels at a time: s * s colours fit the processor's cache, N of them do not.
`mal_mm.instant.colour_field` is the same with torch, where the symbols are explained.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np

from .maps import logit, sigmoid

# cells of the colour models along each axis of Lab, and the smoothing between them
BINS = 16
SMOOTHING = 0.7
# share of pixels that any colour may have: what neither model knows says nothing
UNKNOWN = 1e-3
# one pixel's colour may say so much, in log-odds
MAX_EVIDENCE = 3.0
# colours closer than this (Lab) are noise
MIN_RANGE = 16.0
MIN_CONTRAST = 0.5
# weights are counted in parts of
UNIT = 2**16
# neighbours at these distances
DISTANCES = (1, 2, 4)
DIRECTIONS = ((0, 1), (1, 0), (1, 1), (1, -1))
ROUNDS = 2
STEPS = 4
MAX_ODDS = 12.0


def colour_field(
    probs: np.ndarray, lab: np.ndarray, in_image: np.ndarray, allowed: np.ndarray
) -> np.ndarray:
    """Agree with the colours of object and surroundings, and with like neighbours.

    Args:
        probs: (s, s) in [0, 1], what is known so far.
        lab: (3, s, s) colours, L in [0, 100].
        in_image: (s, s) bool, false where the crop shows padding.
        allowed: (s, s) bool, where the object may be.

    Returns:
        (s, s) float32 in [0, 1], zero where not allowed.
    """
    known = logit(probs.clip(0.02, 0.98))
    cells = _colour_cells(lab)
    links = list(_links(lab))
    shown = in_image.ravel().astype(np.float32)
    z = np.where(allowed, known, np.float32(-MAX_ODDS))
    for _ in range(ROUNDS):
        belief = sigmoid(z).ravel()
        evidence = _log_ratio(cells, belief * shown, (1 - belief) * shown)
        u = known + evidence.clip(-MAX_EVIDENCE, MAX_EVIDENCE).reshape(known.shape)
        for _ in range(STEPS):
            z = (_message(z, links) + u).clip(-MAX_ODDS, MAX_ODDS)
            z[~allowed] = -MAX_ODDS
    return np.where(allowed, sigmoid(z), 0)


def rgb_to_lab(pixels: np.ndarray) -> np.ndarray:
    """(s, s, 3) uint8 sRGB -> (3, s, s) float32 CIE Lab under D65, as kornia has it.

    OpenCV's conversion interpolates in a table and is a tenth off.
    """
    levels = np.arange(256) / 255
    linear = np.where(levels > 0.04045, ((levels + 0.055) / 1.055) ** 2.4, levels / 12.92)
    to_xyz = [
        [0.412453, 0.357580, 0.180423],
        [0.212671, 0.715160, 0.072169],
        [0.019334, 0.119193, 0.950227],
    ]
    xyz = linear[pixels] @ np.transpose(to_xyz) / [0.95047, 1.0, 1.08883]
    f = np.where(xyz > 0.008856, np.cbrt(np.maximum(xyz, 0.008856)), 7.787 * xyz + 4 / 29)
    x, y, z = np.moveaxis(f, 2, 0)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)]).astype(np.float32)


def _colour_cells(lab: np.ndarray) -> np.ndarray:
    colours = lab.reshape(3, -1)
    count = colours.shape[1]
    edge = int(0.005 * count)
    ordered = np.partition(colours, (edge, count - 1 - edge), axis=1)
    low, high = ordered[:, edge, None], ordered[:, count - 1 - edge, None]
    span = max(float((high - low).max()), MIN_RANGE)
    places = ((colours - (high + low) / 2) / np.float32(span) + np.float32(0.5)) * (BINS - 1)
    places = np.rint(places.clip(0, BINS - 1)).astype(np.int64)
    return (places[0] * BINS + places[1]) * BINS + places[2]


def _log_ratio(cells: np.ndarray, inside: np.ndarray, outside: np.ndarray) -> np.ndarray:
    logs = [np.log(_colour_model(cells, each) + UNKNOWN) for each in (inside, outside)]
    return (logs[0] - logs[1])[cells]


def _colour_model(cells: np.ndarray, weights: np.ndarray) -> np.ndarray:
    counts = np.bincount(cells, np.rint(weights * UNIT), minlength=BINS**3) / UNIT
    kernel = np.exp(-0.5 * (np.arange(-3, 4) / SMOOTHING) ** 2)
    kernel = (kernel / kernel.sum())[None].astype(np.float32)
    counts = counts.reshape(BINS, BINS, BINS).astype(np.float32)
    for _ in range(3):  # each axis comes last once
        rows = cv2.filter2D(counts.reshape(-1, BINS), -1, kernel, borderType=cv2.BORDER_CONSTANT)
        counts = np.ascontiguousarray(rows.reshape(counts.shape).transpose(2, 0, 1))
    return counts.ravel() / max(float(weights.sum(dtype=np.float64)), 1.0)


_Place = tuple[slice, slice]


def neighbours(height: int, width: int) -> Iterator[tuple[_Place, _Place, float]]:
    """Where the one and the other of each pair of neighbours are, nearest pairs first.

    Yields:
        Rows and columns of the ones, those of the others, and how much longer than a step along
        an axis their distance is.
    """
    for distance in DISTANCES:
        for down, right in DIRECTIONS:
            down, right = down * distance, right * distance
            rows = slice(0, height - down), slice(down, height)
            columns = (
                slice(max(-right, 0), width - max(right, 0)),
                slice(max(right, 0), width + min(right, 0)),
            )
            one, other = zip(rows, columns, strict=True)
            yield one, other, (down**2 + right**2) ** 0.5 / max(down, abs(right))


def _links(lab: np.ndarray) -> Iterator[tuple[_Place, _Place, Any]]:
    differences = []
    for one, other, length in neighbours(*lab.shape[1:]):
        squared = ((lab[(..., *one)] - lab[(..., *other)]) ** 2).sum(0)
        differences.append((one, other, squared, length))
    nearest = np.concatenate([squared.ravel() for _, _, squared, _ in differences[:4]])
    scale = np.float32(max(2 * float(nearest.mean(dtype=np.float64)), MIN_CONTRAST))
    for one, other, squared, length in differences:
        yield one, other, np.exp(-squared / scale) / np.float32(length)


def _message(z: np.ndarray, links: list[tuple[_Place, _Place, Any]]) -> np.ndarray:
    opinion = np.tanh(z / 2)
    total = np.zeros_like(z)
    for one, other, weight in links:
        total[one] += weight * opinion[other]
        total[other] += weight * opinion[one]
    return total
