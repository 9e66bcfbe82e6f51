"""From the network's maps to the pixels of each box, without the crops in between.

The released order is: map (s, s) bilinear to the crop (S, S), sigmoid, times the box mask,
bilinear to the window's pixels. For each row and column of pixels the second resize reads two of
the crop; all else there is computed for nothing, above all where the window is small, and
outside the box. Here only what is read is computed.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from math import ceil, floor

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor


def sample_windows(
    maps: Tensor,
    crop_boxes: np.ndarray,
    windows: np.ndarray,
    image_hws: Sequence[tuple[int, int]],
    crop_size: int,
    are_logits: bool = True,
) -> list[tuple[Tensor, int, int]]:
    """Probabilities of each box on the pixels of its image.

    Equal (to rounding) to a bilinear resize of the maps to the crop, sigmoid, box mask, and
    `geometry.paste_probs`, but for zeros around the box, which are left out.

    Args:
        maps: (N, s, s) float32.
        crop_boxes: (N, 4) whole crop pixels, see `geometry.box_to_crop`.
        windows: (N, 4) int windows of the crops.
        image_hws: height and width of each crop's image.
        crop_size: side S of the crops.
        are_logits: the maps are logits; otherwise probabilities, and the sigmoid is left out.

    Returns:
        For each crop the (h, w) probabilities, stored by columns, and the image row and column of
        the first one. h or w is 0 where the box mask is empty.
    """
    s = maps.shape[-1]
    regions = []
    for on_map, box, window, (height, width) in zip(
        maps, crop_boxes.tolist(), windows.tolist(), image_hws, strict=True
    ):
        left, *x_taps = _plan(box[0::2], window[0::2], width, crop_size, s)
        top, *y_taps = _plan(box[1::2], window[1::2], height, crop_size, s)
        on_crop = _resize(_resize(on_map.mT, *x_taps[0]).mT, *y_taps[0])
        if are_logits:
            on_crop.sigmoid_()
        probs = _resize(_resize(on_crop, *y_taps[1]).mT, *x_taps[1])
        regions.append((probs.mT, top, left))
    return regions


# Taps of one axis of a bilinear resize: (n, 2) places that output n reads, (n, 2) their weights.
_Taps = tuple[np.ndarray, np.ndarray]


def _plan(
    box: list[float], window: list[int], image_length: int, S: int, s: int
) -> tuple[int, _Taps, _Taps]:
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
def _taps_of_all(length: int, resized: int) -> _Taps:
    return _taps(np.arange(resized), length, resized)


def _taps(outputs: np.ndarray, length: int, resized: int) -> _Taps:
    """Taps of some outputs of torch's bilinear resize (align_corners=False, no antialiasing)."""
    # rounded to float32 where torch does it: at the scale, and after its fused multiply-add
    places_between = float(np.float32(length / resized)) * (outputs + 0.5) - 0.5
    sources = np.maximum(places_between, 0).astype(np.float32)[:, None]
    low = sources.astype(np.int64)
    high_weights = sources - low
    places = np.minimum(low + np.arange(2), length - 1)
    return places, np.concatenate([1 - high_weights, high_weights], axis=1, dtype=np.float32)


def _resize(x: Tensor, places: np.ndarray, weights: np.ndarray) -> Tensor:
    """Weighted sums of two rows each: (length, m) -> (n, m)."""
    places, weights = (torch.from_numpy(values).to(x.device) for values in (places, weights))
    # contiguous: embedding_bag takes three times as long on a transposed view
    return F.embedding_bag(places, x.contiguous(), per_sample_weights=weights, mode='sum')
