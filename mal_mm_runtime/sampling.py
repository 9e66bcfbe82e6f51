"""From maps to the pixels of each box, without the crops in between.

The released order is: map (s, s) bilinear to the crop (S, S), sigmoid, times the box mask,
bilinear to the window's pixels. For each row and column of pixels the second resize reads two of
the crop; all else there is computed for nothing, above all where the window is small, and
outside the box. Here only what is read is computed. `mal_mm.labeling.window_sampling` does the
same on a GPU.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from math import ceil, floor
from typing import Any

import numpy as np

from .maps import sigmoid

# Taps of one axis of a bilinear resize: (n, 2) places that output n reads, (n, 2) their weights.
Taps = tuple[np.ndarray, np.ndarray]


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
    rows = zip(maps, crop_boxes, windows, image_hws, strict=True)
    return [
        sample_window(*row, crop_size, _resize, sigmoid if are_logits else None) for row in rows
    ]


def sample_window(
    on_map: Any,
    box: np.ndarray,
    window: np.ndarray,
    image_hw: tuple[int, int],
    crop_size: int,
    resize: Callable[..., Any],
    activation: Callable[[Any], Any] | None,
) -> tuple[Any, int, int]:
    """One of `sample_windows`, on arrays of whatever kind `resize` takes.

    Args:
        on_map: (s, s).
        box, window, image_hw, crop_size: of the crop.
        resize: (values (length, m), taps) -> (n, m).
        activation: applied to the crop's values; None for none.
    """
    s, (height, width) = on_map.shape[-1], image_hw
    x0, y0, x1, y1 = box.tolist()
    left, right, top, bottom = (int(window[n]) for n in (0, 2, 1, 3))
    first_x, *x_taps = plan_axis([x0, x1], [left, right], width, crop_size, s)
    first_y, *y_taps = plan_axis([y0, y1], [top, bottom], height, crop_size, s)
    on_crop = resize(resize(on_map.T, *x_taps[0]).T, *y_taps[0])
    if activation is not None:
        on_crop = activation(on_crop)
    probs = resize(resize(on_crop, *y_taps[1]).T, *x_taps[1])
    return probs.T, first_y, first_x


def plan_axis(
    box: list[float], window: list[int], image_length: int, S: int, s: int
) -> tuple[int, Taps, Taps]:
    """One axis: the first image pixel, the taps map -> crop pixels, crop -> image pixels.

    Args:
        box, window: low and high end.
        image_length: pixels of the image.
        S, s: side of the crop and of the map.
    """
    length, box_low, box_high = window[1] - window[0], int(box[0]), int(box[1])
    # window pixels that the image has and that see the box, or up to one more at each end
    first = max(-window[0], floor((box_low - 0.5) * length / S - 0.5), 0)
    last = min(image_length - window[0], ceil((box_high + 0.5) * length / S - 0.5) + 1, length)
    if box_high <= box_low:
        last = first
    places, weights = _taps(np.arange(first, max(last, first)), S, length)
    weights *= (places >= box_low) & (places < box_high)  # the box mask
    np.maximum(places, box_low, out=places)
    np.minimum(places, box_high - 1, out=places)
    all_places, all_weights = _taps_of_all(s, S)
    if places.size < box_high - box_low:
        read: np.ndarray | slice = places.ravel()
        places = np.arange(places.size).reshape(-1, 2)
    else:
        read = slice(box_low, box_high)
        places -= box_low
    return first + window[0], (all_places[read], all_weights[read]), (places, weights)


@lru_cache
def _taps_of_all(length: int, resized: int) -> Taps:
    return _taps(np.arange(resized), length, resized)


def _taps(outputs: np.ndarray, length: int, resized: int) -> Taps:
    """Taps of some outputs of torch's bilinear resize (align_corners=False, no antialiasing)."""
    # rounded to float32 where torch does it: at the scale, and after its fused multiply-add
    places_between = float(np.float32(length / resized)) * (outputs + 0.5) - 0.5
    sources = np.maximum(places_between, 0).astype(np.float32)[:, None]
    low = sources.astype(np.int64)
    high_weights = sources - low
    places = np.minimum(low + np.arange(2), length - 1)
    return places, np.concatenate([1 - high_weights, high_weights], axis=1, dtype=np.float32)


def _resize(x: np.ndarray, places: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Weighted sums of two rows each: (length, m) -> (n, m)."""
    return x[places[:, 0]] * weights[:, :1] + x[places[:, 1]] * weights[:, 1:]
