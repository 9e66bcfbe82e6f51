"""From the network's maps to the pixels of each box, without the crops in between.

`mal_mm_runtime.sampling` says how; here with torch, on the device, many boxes at once: a launch
on a GPU takes longer than a small box. N boxes, maps of s x s cells, up to h x w pixels a box.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from mal_mm_runtime.sampling import Taps, plan_axes

# pixels of a group of boxes, each counted as large as the largest: what a processor's cache holds,
# and what fills a GPU
_CPU_PIXELS, _GPU_PIXELS = 2**17, 2**25
# sides of a group's pixels are rounded up to this: the kernel is compiled anew for each length
_MULTIPLE = 16
# from so many cells on OpenCV turns them quicker than torch
_LARGE = 2**13


def sample_windows(
    maps: Tensor,
    crop_boxes: np.ndarray,
    windows: np.ndarray,
    image_hws: Sequence[tuple[int, int]],
    crop_size: int,
    are_logits: bool = True,
) -> list[tuple[np.ndarray, int, int]]:
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
    sampled = []
    for group in _groups(windows, _CPU_PIXELS if maps.device.type == 'cpu' else _GPU_PIXELS):
        sampled += _sample_group(
            maps[group], crop_boxes[group], windows[group], image_hws[group], crop_size, are_logits
        )
    return sampled


def _groups(windows: np.ndarray, pixels: int) -> Iterator[slice]:
    """Neighbours in the list whose pixels, padded to the largest, are so many at most."""
    start, sides = 0, np.zeros(2, dtype=np.int64)
    for n, own in enumerate(windows[:, 2:] - windows[:, :2]):
        common = np.maximum(sides, own)
        if n > start and (n + 1 - start) * common.prod() > pixels:
            yield slice(start, n)
            start, common = n, own
        sides = common
    if len(windows):
        yield slice(start, len(windows))


def _sample_group(
    maps: Tensor,
    crop_boxes: np.ndarray,
    windows: np.ndarray,
    image_hws: Sequence[tuple[int, int]],
    S: int,
    are_logits: bool,
) -> list[tuple[np.ndarray, int, int]]:
    x, y = plan_axes(crop_boxes, windows, image_hws, S, maps.shape[-1], _MULTIPLE)
    on_crop = _resize(_turn(_resize(_turn(maps), x.on_map)), y.on_map)
    if are_logits:
        on_crop.sigmoid_()
    probs = _resize(_turn(_resize(on_crop, y.on_crop)), x.on_crop)  # (N, w, h)
    if probs.device.type == 'cpu':
        padded = probs.numpy()
        regions = [
            padded[n, :w, :h] for n, (w, h) in enumerate(zip(x.length, y.length, strict=True))
        ]
    else:
        regions = fetch_unpadded(probs, x.length, y.length)
    places = zip(y.first.tolist(), x.first.tolist(), strict=True)
    return [(region.T, top, left) for region, (top, left) in zip(regions, places, strict=True)]


def fetch_unpadded(probs: Tensor, widths: np.ndarray, heights: np.ndarray) -> list[np.ndarray]:
    """What is no padding of (N, w, h) on a GPU, in one transfer.

    Args:
        probs: (N, w, h).
        widths, heights: (N,) of each that count.

    Returns:
        (width, height) of each.
    """
    columns, rows = (
        torch.from_numpy(np.arange(side) < counts[:, None]).to(probs.device, non_blocking=True)
        for side, counts in zip(probs.shape[1:], (widths, heights), strict=True)
    )
    flat = probs[columns[:, :, None] & rows[:, None]].cpu().numpy()
    parts = np.split(flat, np.cumsum(widths * heights)[:-1])
    return [part.reshape(w, h) for part, w, h in zip(parts, widths, heights, strict=True)]


def _resize(x: Tensor, taps: Taps) -> Tensor:
    """Weighted sums of two rows each: (N, length, m) -> (N, n, m)."""
    N, length, m = x.shape
    places, weights = taps
    places = places + length * np.arange(N)[:, None, None]  # all in one list of rows
    on_device = (
        torch.from_numpy(each.reshape(-1, 2)).to(x.device, non_blocking=True)
        for each in (places, weights)
    )
    rows = x.reshape(-1, m)
    summed = F.embedding_bag(next(on_device), rows, per_sample_weights=next(on_device), mode='sum')
    return summed.view(N, -1, m)


def _turn(x: Tensor) -> Tensor:
    """(N, h, w) -> (N, w, h), contiguous: embedding_bag takes three times as long on a view."""
    N, h, w = x.shape
    if x.device.type != 'cpu' or h * w < _LARGE:
        return x.mT.contiguous()
    turned = np.empty((N, w, h), dtype=np.float32)
    for source, target in zip(x.numpy(), turned, strict=True):
        cv2.transpose(source, target)
    return torch.from_numpy(turned)
