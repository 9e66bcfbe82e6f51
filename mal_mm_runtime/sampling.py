"""From maps to the pixels of each box, without the crops in between.

The released order is: map (s, s) bilinear to the crop (S, S), sigmoid, times the box mask,
bilinear to the window's pixels. For each row and column of pixels the second resize reads two of
the crop; all else there is computed for nothing, above all where the window is small, and
outside the box. Here only what is read is computed. `mal_mm.labeling.window_sampling` does the
same with torch, many boxes at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from .maps import sigmoid

# Taps of one axis of a bilinear resize: (..., n, 2) places that output n reads, (..., n, 2) their
# weights.
Taps = tuple[np.ndarray, np.ndarray]


class AxisPlan(NamedTuple):
    """What N boxes read along one axis; rows beyond a box's own are padding.

    Attributes:
        first: (N,) the first image pixel.
        length: (N,) image pixels.
        on_map: (N, C, 2) cells of the map that each of C crop pixels reads, and their weights.
        on_crop: (N, n, 2) those of the C crop pixels that each of n image pixels reads, and
            their weights.
    """

    first: np.ndarray
    length: np.ndarray
    on_map: Taps
    on_crop: Taps


def sample_windows(
    maps: np.ndarray,
    crop_boxes: np.ndarray,
    windows: np.ndarray,
    image_hws: Sequence[tuple[int, int]],
    crop_size: int,
    are_logits: bool = True,
) -> list[tuple[np.ndarray, int, int]]:
    """Probabilities of each box on the pixels of its image.

    Args:
        maps: (N, s, s) float32.
        crop_boxes: (N, 4) whole crop pixels, see `windows.box_to_crop`.
        windows: (N, 4) int windows of the crops.
        image_hws: height and width of each crop's image.
        crop_size: side S of the crops.
        are_logits: the maps are logits; otherwise probabilities, and the sigmoid is left out.

    Returns:
        For each crop the (h, w) probabilities and the image row and column of the first one. h or
        w is 0 where the box mask is empty.
    """
    sampled = []
    for n, on_map in enumerate(maps):
        one = slice(n, n + 1)
        x, y = plan_axes(crop_boxes[one], windows[one], image_hws[one], crop_size, maps.shape[-1])
        on_crop = _resize(_resize(on_map.T, x.on_map).T, y.on_map)
        if are_logits:
            on_crop = sigmoid(on_crop)
        probs = _resize(_resize(on_crop, y.on_crop).T, x.on_crop).T
        sampled.append((probs[: y.length[0], : x.length[0]], int(y.first[0]), int(x.first[0])))
    return sampled


def plan_axes(
    crop_boxes: np.ndarray,
    windows: np.ndarray,
    image_hws: Sequence[tuple[int, int]],
    S: int,
    s: int,
    multiple: int = 1,
) -> tuple[AxisPlan, AxisPlan]:
    """What is read along x and along y; see `sample_windows`.

    Args:
        crop_boxes, windows, image_hws: of N boxes.
        S, s: side of the crops and of the maps.
        multiple: C and n are rounded up to one.
    """
    N = len(windows)
    sides = np.array(image_hws, dtype=np.int64).reshape(N, 2)
    # the x of all boxes, then their y: half the calls
    image_lengths = np.concatenate([sides[:, 1], sides[:, 0]])
    low, high, start, stop = (
        np.concatenate([values[:, side], values[:, side + 1]])
        for values in (np.asarray(crop_boxes).astype(np.int64), windows)
        for side in (0, 2)
    )
    lengths = stop - start
    # window pixels that the image has and that see the box, or up to one more at each end
    first = np.floor((low - 0.5) * lengths / S - 0.5).astype(np.int64)
    first = np.maximum(first, np.maximum(-start, 0))
    last = np.ceil((high + 0.5) * lengths / S - 0.5).astype(np.int64) + 1
    last = np.minimum(last, np.minimum(image_lengths - start, lengths))
    count = np.where(high > low, np.maximum(last - first, 0), 0)

    outputs = first[:, None] + np.arange(_round_up(count.max(), multiple))
    places, weights = _taps(outputs, S, lengths[:, None])
    lowest, highest = low[:, None, None], high[:, None, None]
    weights *= (places >= lowest) & (places < highest)  # the box mask
    np.maximum(places, lowest, out=places)
    np.minimum(places, np.maximum(highest - 1, lowest), out=places)

    plans = []
    for axis in (slice(0, N), slice(N, 2 * N)):
        n, widest = (_round_up(each[axis].max(), multiple) for each in (count, high - low))
        read_by, own_weights = places[axis, :n], weights[axis, :n]
        if 2 * n < widest:
            read = read_by.reshape(N, 2 * n)
            read_by = np.broadcast_to(np.arange(2 * n).reshape(n, 2), read_by.shape)
        else:
            read = np.minimum(low[axis, None] + np.arange(widest), S - 1)
            read_by = read_by - lowest[axis]
        all_places, all_weights = _taps_of_all(s, S)
        on_map = all_places[read], all_weights[read]
        plans.append(AxisPlan((first + start)[axis], count[axis], on_map, (read_by, own_weights)))
    return plans[0], plans[1]


def _round_up(value: int, multiple: int) -> int:
    return max(-(-int(value) // multiple), 1) * multiple


@lru_cache
def _taps_of_all(length: int, resized: int) -> Taps:
    return _taps(np.arange(resized), length, resized)


def _taps(outputs: np.ndarray, length: int | np.ndarray, resized: int | np.ndarray) -> Taps:
    """Taps of some outputs of torch's bilinear resize (align_corners=False, no antialiasing)."""
    # rounded to float32 where torch does it: at the scale, and after its fused multiply-add
    scale = np.divide(length, resized).astype(np.float32).astype(np.float64)
    sources = np.maximum(scale * (outputs + 0.5) - 0.5, 0).astype(np.float32)[..., None]
    low = sources.astype(np.int64)
    high_weights = sources - low.astype(np.float32)
    places = np.minimum(low + np.arange(2), length - 1)
    return places, np.concatenate([1 - high_weights, high_weights], axis=-1)


def _resize(x: np.ndarray, taps: Taps) -> np.ndarray:
    """Weighted sums of two rows each: (length, m), taps of one box -> (n, m)."""
    (places,), (weights,) = taps
    return x[places[:, 0]] * weights[:, :1] + x[places[:, 1]] * weights[:, 1:]
