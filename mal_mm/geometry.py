"""Image frame <-> crop frame: the window around a box, its crop, and the way back.

A *window* is the expanded box in whole image pixels, `(x0, y0, x1, y1)` with x1, y1 exclusive; it
may reach beyond the image. A *crop* is the window's content resized to `crop_size` x `crop_size`.
Each map stands beside its inverse: `expand_*` / the box itself, `crop_window` / `paste_probs`,
`box_to_crop` / `box_from_crop`.
"""

from __future__ import annotations

from collections.abc import Iterator
from types import ModuleType

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

# numpy.random itself, the global generator, or one of its own
RandomNumbers = np.random.RandomState | ModuleType

PADDINGS = ('wrap', 'reflect', 'mean')
EXPANSIONS = ('released', 'paper', 'tight', 'fixed')


# -- windows ------------------------------------------------------------------------------------


def clip_boxes(boxes_xyxy: np.ndarray, image_hw: tuple[int, int]) -> np.ndarray:
    """The part of each box that lies in the image, which is what a window is drawn around.

    Human boxes end at the border; one that reaches far beyond it would shrink its object in the
    crop, and one of 10^9 px would fill the memory.

    Args:
        boxes_xyxy: (..., 4) real image coordinates.
        image_hw: height and width of the image.

    Returns:
        (..., 4) float64; boxes beside the image end up without extent on its border.
    """
    height, width = image_hw
    return np.clip(np.asarray(boxes_xyxy, dtype=np.float64), 0, [width, height, width, height])


def round_outward(windows_xyxy: np.ndarray) -> np.ndarray:
    """Whole-pixel window around each real one: floor(left, top), ceil(right + 1, bottom + 1).

    Source: released behaviour (the + 1 keeps the pixel that holds the right and bottom border).

    Args:
        windows_xyxy: (n, 4) real image coordinates.

    Returns:
        (n, 4) int64; right and bottom are exclusive.
    """
    lower = np.floor(windows_xyxy[:, :2])
    upper = np.ceil(windows_xyxy[:, 2:] + 1)
    return np.concatenate([lower, upper], axis=1).astype(np.int64)


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


def expand_fixed(boxes_xyxy: np.ndarray, margin: float = 0.3) -> np.ndarray:
    """Move every side outward by `margin` of half the box: the labeling window.

    Source: released behaviour, margin 0.3.

    Args:
        boxes_xyxy: (n, 4) real image coordinates, unrounded.
        margin: share of half the side, >= 0.

    Returns:
        (n, 4) int64 windows.
    """
    boxes = np.asarray(boxes_xyxy, dtype=np.float64).reshape(-1, 4)
    half = (boxes[:, 2:] - boxes[:, :2]) / 2
    return round_outward(boxes + margin * np.concatenate([-half, half], axis=1))


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


def _runs(low: int, high: int, length: int, padding: str) -> Iterator[tuple[slice, slice]]:
    """Where a row of pixels repeats: places counted from `low`, and the pixels that fill them."""
    # reflect without repeating the border pixel; a one-pixel image has nothing to reflect
    period = length if padding == 'wrap' or length == 1 else 2 * (length - 1)
    start = low
    while start < high:
        phase = start % period
        backward = phase >= length
        # pixels up to the last one, or back down to the one after the first
        count = min(period - phase if backward else length - phase, high - start)
        place = slice(start - low, start - low + count)
        if backward:
            first = period - phase
            yield place, slice(first, first - count, -1)
        else:
            yield place, slice(phase, phase + count)
        start += count


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
        (crop_size, crop_size, 3) uint8.

    Raises:
        ValueError: unknown `padding`, or an empty window.
    """
    if padding not in PADDINGS:
        raise ValueError(f'`padding` must be one of {PADDINGS}, got {padding!r}')
    height, width = image.shape[:2]
    x0, y0, x1, y1 = (int(v) for v in window)
    if x1 <= x0 or y1 <= y0:
        raise ValueError(f'`window` must have x1 > x0 and y1 > y0, got {(x0, y0, x1, y1)}')
    if x0 >= 0 and y0 >= 0 and x1 <= width and y1 <= height:
        content = image[y0:y1, x0:x1]
    elif padding == 'mean':
        content = np.empty((y1 - y0, x1 - x0, 3), dtype=np.uint8)
        content[:] = np.round(fill)
        cx0, cy0, cx1, cy1 = max(x0, 0), max(y0, 0), min(x1, width), min(y1, height)
        if cx1 > cx0 and cy1 > cy0:
            content[cy0 - y0 : cy1 - y0, cx0 - x0 : cx1 - x0] = image[cy0:cy1, cx0:cx1]
    else:
        # a few rectangles: gathering pixel by pixel costs more than the rest of a crop
        content = np.empty((y1 - y0, x1 - x0, 3), dtype=np.uint8)
        columns = list(_runs(x0, x1, width, padding))
        for rows, image_rows in _runs(y0, y1, height, padding):
            for places, image_columns in columns:
                content[rows, places] = image[image_rows, image_columns]
    return _resize(np.ascontiguousarray(content), crop_size, exact)


def _resize(content: np.ndarray, size: int, exact: bool) -> np.ndarray:
    if exact:
        return np.array(Image.fromarray(content).resize((size, size), Image.Resampling.BICUBIC))
    planes = torch.from_numpy(content).permute(2, 0, 1)[None]
    resized = F.interpolate(
        planes, (size, size), mode='bicubic', antialias=True, align_corners=False
    )
    return resized[0].permute(1, 2, 0).numpy()


def _resize_interval(low: int, high: int, length: int, size: int) -> tuple[int, int]:
    # The released mask is a 0/1 uint8 image resized by Pillow, which rounds after each of its two
    # passes. A filled rectangle is the product of two intervals and stays one: a row tells all.
    line = Image.new('L', (length, 1))
    line.paste(1, (max(low, 0), 0, max(high, 0), 1))
    inside = line.resize((size, 1), Image.Resampling.BICUBIC).getbbox()
    return (inside[0], inside[2]) if inside else (0, 0)


def box_to_crop(
    box_xyxy: np.ndarray, window: np.ndarray, image_hw: tuple[int, int], crop_size: int
) -> np.ndarray:
    """The box mask of a crop, as the rectangle of crop pixels it fills.

    Source: released behaviour: the mask covers image pixels int(x0)..int(x1) inclusive, clipped to
    the image, and is resized as a binary image. Outside the image it is zero.

    Args:
        box_xyxy: (4,) real image coordinates.
        window: (4,) int window of the crop.
        image_hw: height and width of the image.
        crop_size: side of the crop.

    Returns:
        (4,) float32 `(x0, y0, x1, y1)` in crop pixels, x1 and y1 exclusive; all zero when nothing
        is inside.
    """
    height, width = image_hw
    x0, y0, x1, y1 = (int(v) for v in window)
    first_x, first_y = max(int(box_xyxy[0]), 0), max(int(box_xyxy[1]), 0)
    last_x, last_y = min(int(box_xyxy[2]), width - 1), min(int(box_xyxy[3]), height - 1)
    crop_x0, crop_x1 = _resize_interval(first_x - x0, last_x + 1 - x0, x1 - x0, crop_size)
    crop_y0, crop_y1 = _resize_interval(first_y - y0, last_y + 1 - y0, y1 - y0, crop_size)
    if crop_x1 <= crop_x0 or crop_y1 <= crop_y0:
        return np.zeros(4, dtype=np.float32)
    return np.array([crop_x0, crop_y0, crop_x1, crop_y1], dtype=np.float32)


def box_from_crop(crop_box: np.ndarray, window: np.ndarray, crop_size: int) -> np.ndarray:
    """Inverse of `box_to_crop`: crop pixels -> image coordinates.

    The pixels that the box covers come back to within one crop pixel, or a tenth of an image pixel
    where the crop enlarges.

    Args:
        crop_box: (4,) `(x0, y0, x1, y1)` in crop pixels.
        window: (4,) int window of the crop.
        crop_size: side of the crop.

    Returns:
        (4,) float64 image coordinates.
    """
    window = np.asarray(window, dtype=np.float64)
    scale = (window[2:] - window[:2]) / crop_size
    return np.tile(window[:2], 2) + np.asarray(crop_box, dtype=np.float64) * np.tile(scale, 2)


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
