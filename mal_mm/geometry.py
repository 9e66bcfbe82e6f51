"""Image frame <-> crop frame: the window around a box, its crop, and the way back.

A *window* is the expanded box in whole image pixels, `(x0, y0, x1, y1)` with x1, y1 exclusive; it
may reach beyond the image. A *crop* is the window's content resized to `crop_size` x `crop_size`.
Each map has its inverse: `expand_*` / the box itself, `crop_window` / `paste_probs`,
`box_to_crop` / `box_from_crop`. What needs no torch lies in `mal_mm_runtime.windows`.
"""

from __future__ import annotations

from types import ModuleType

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from mal_mm_runtime.windows import (
    PADDINGS,
    box_from_crop,
    box_to_crop,
    clip_boxes,
    cut_window,
    expand_fixed,
    resize_exact,
    round_outward,
)

__all__ = [
    'EXPANSIONS',
    'PADDINGS',
    'box_from_crop',
    'box_to_crop',
    'clip_boxes',
    'crop_window',
    'draw_box_masks',
    'expand_fixed',
    'expand_randomly',
    'paste_probs',
    'round_outward',
    'tight_window',
]

# numpy.random itself, the global generator, or one of its own
RandomNumbers = np.random.RandomState | ModuleType

EXPANSIONS = ('released', 'paper', 'tight', 'fixed')


# -- windows ------------------------------------------------------------------------------------


def tight_window(box_xyxy: np.ndarray, image_hw: tuple[int, int]) -> np.ndarray:
    """The image pixels that a box covers: int(x0)..int(x1), both included, and nothing around.

    Source: MAL Sec. 3.1, first sampling strategy.

    Args:
        box_xyxy: (4,) real image coordinates.
        image_hw: height and width of the image.

    Returns:
        (4,) int64 window inside the image, of at least one pixel.
    """
    limit = np.array(image_hw[::-1]) - 1
    corners = np.floor(np.asarray(box_xyxy, dtype=np.float64)).reshape(2, 2)
    first, last = np.clip(corners, 0, limit).astype(np.int64)
    return np.concatenate([first, np.maximum(last, first) + 1])


def expand_randomly(
    box_xyxy: np.ndarray, theta: float, rng: RandomNumbers, rule: str = 'released'
) -> np.ndarray:
    """Draw a training window around one box.

    Source: `paper` is MAL Sec. 3.1 (theta_x, theta_y ~ U[0, theta]; left and top get
    beta ~ U[0, theta_x|y], right and bottom the rest). `released`: four independent margins
    U[0, theta] and one gate per axis, g_x, g_y ~ U[0, 1]: left times g_x, right times 1 - g_x,
    top times g_y, bottom times 1 - g_y.

    Args:
        box_xyxy: (4,) real image coordinates.
        theta: largest expansion, in halves of the box side, >= 0.
        rng: source of randomness; the module `np.random` will do.
        rule: 'released' or 'paper'.

    Returns:
        (4,) int64 window.

    Raises:
        ValueError: unknown `rule`.
    """
    if rule == 'released':
        margins = rng.uniform(0, theta, 4)
        gates = rng.uniform(0, 1, 2)
        margins *= np.concatenate([gates, 1 - gates])
    elif rule == 'paper':
        totals = rng.uniform(0, theta, 2)
        first = rng.uniform(0, 1, 2) * totals
        margins = np.concatenate([first, totals - first])
    else:
        raise ValueError(f"`rule` must be 'released' or 'paper', got {rule!r}")
    box = np.asarray(box_xyxy, dtype=np.float64)
    half = (box[2:] - box[:2]) / 2
    window = box + margins * np.concatenate([-half, half])
    return round_outward(window[None])[0]


# -- pixels -------------------------------------------------------------------------------------


def crop_window(
    image: np.ndarray,
    window: np.ndarray,
    crop_size: int,
    padding: str = 'wrap',
    fill: tuple[float, float, float] = (124, 116, 104),
    exact: bool = True,
) -> np.ndarray:
    """Cut a window out of an image and resize it (antialiased bicubic).

    Source: released behaviour: Pillow's resize; what lies outside the image wraps round from the
    opposite side (mean padding draws an edge that the CRF loss then follows).

    Args:
        image: (H, W, 3) uint8.
        window: (4,) int window, may reach outside.
        crop_size: side of the crop in pixels.
        padding: 'wrap', 'reflect' or 'mean' (the colour `fill`).
        fill: colour for 'mean', in the image's channel order.
        exact: Pillow's resize, pixel for pixel. Otherwise torch's uint8 kernel, in a third of the
            time and up to three grey levels off in noise: enough for a training sample.

    Returns:
        (crop_size, crop_size, 3) uint8, stored by planes.

    Raises:
        ValueError: unknown `padding`, or an empty window.
    """
    content = cut_window(image, window, padding, fill)
    if exact:
        crop = resize_exact(content, crop_size)
    else:
        # in this order torch sees that the channels lie together, and needs a third of the time
        channels_last = torch.from_numpy(content)[None].permute(0, 3, 1, 2)
        size = (crop_size, crop_size)
        resized = F.interpolate(channels_last, size, mode='bicubic', antialias=True)
        crop = resized.permute(0, 2, 3, 1)[0].numpy()
    # networks read planes; OpenCV takes them apart in a tenth of the time of a strided copy
    planes = np.empty((3, crop_size, crop_size), dtype=np.uint8)
    cv2.split(crop, list(planes))
    return planes.transpose(1, 2, 0)


def draw_box_masks(crop_boxes: Tensor, crop_size: int, size: int) -> Tensor:
    """Box masks as the share of each cell that lies inside the box.

    Args:
        crop_boxes: (N, 4) `(x0, y0, x1, y1)` in crop pixels.
        crop_size: side of the crop the boxes refer to.
        size: side of the masks; `crop_size` gives binary masks when the boxes are whole pixels.

    Returns:
        (N, size, size) float32 in [0, 1].
    """
    boxes = crop_boxes.float() * (size / crop_size)
    cells = torch.arange(size, device=boxes.device, dtype=torch.float32)

    def cover(low: Tensor, high: Tensor) -> Tensor:
        left = torch.maximum(cells, low[:, None])
        right = torch.minimum(cells + 1, high[:, None])
        return (right - left).clamp_(min=0)

    columns = cover(boxes[:, 0], boxes[:, 2])
    rows = cover(boxes[:, 1], boxes[:, 3])
    return rows[:, :, None] * columns[:, None, :]


def paste_probs(
    probs: Tensor, window: np.ndarray, image_hw: tuple[int, int]
) -> tuple[Tensor, int, int]:
    """Inverse of `crop_window`: crop probabilities on the window's own pixels, cut to the image.

    Source: released behaviour: bilinear, align_corners=False, no antialiasing.

    Args:
        probs: (S, S) in [0, 1].
        window: (4,) int window of the crop.
        image_hw: height and width of the image.

    Returns:
        The (h, w) probabilities and the image row and column of their first pixel. h or w is 0
        when the window misses the image.
    """
    height, width = image_hw
    x0, y0, x1, y1 = (int(v) for v in window)
    on_window = F.interpolate(
        probs[None, None], (y1 - y0, x1 - x0), mode='bilinear', align_corners=False
    )[0, 0]
    top, left = max(y0, 0), max(x0, 0)
    bottom, right = max(min(y1, height), top), max(min(x1, width), left)
    return on_window[top - y0 : bottom - y0, left - x0 : right - x0], top, left
