"""Windows around boxes, their pixels, and boxes seen from them: what needs no torch.

A *window* is the expanded box in whole image pixels, `(x0, y0, x1, y1)` with x1, y1 exclusive; it
may reach beyond the image. A *crop* is the window's content resized to `crop_size` x `crop_size`.
`mal_mm.geometry` has the rest.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache

import numpy as np
from PIL import Image

PADDINGS = ('wrap', 'reflect', 'mean')
# Areas of boxes, in square image pixels, between small, medium and large as COCO and the paper
# have them; a bound belongs to the bin above.
SIZE_BOUNDS = (32**2, 96**2)


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


def cut_window(
    image: np.ndarray,
    window: np.ndarray,
    padding: str = 'wrap',
    fill: tuple[float, float, float] = (124, 116, 104),
) -> np.ndarray:
    """Cut a window out of an image, without resizing it.

    Source: released behaviour: what lies outside the image wraps round from the opposite side
    (mean padding draws an edge that the CRF loss then follows).

    Args:
        image: (H, W, 3) uint8.
        window: (4,) int window, may reach outside.
        padding: 'wrap', 'reflect' or 'mean' (the colour `fill`).
        fill: colour for 'mean', in the image's channel order.

    Returns:
        (y1 - y0, x1 - x0, 3) uint8.

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
    return np.ascontiguousarray(content)


def resize_exact(content: np.ndarray, size: int) -> np.ndarray:
    """(h, w, 3) uint8 -> (size, size, 3), Pillow's antialiased bicubic, as the authors do it."""
    return np.array(Image.fromarray(content).resize((size, size), Image.Resampling.BICUBIC))


# the box lies in its window in a few ways for each length: a long job meets them again and again
@lru_cache(2**14)
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


def boxes_on_maps(
    boxes: np.ndarray, windows: np.ndarray, image_hws: Sequence[tuple[int, int]], size: int
) -> np.ndarray:
    """Boxes, as far as they lie in their images, on maps of their windows.

    Unlike `geometry.box_to_crop` it rounds nothing: the box mask is up to a pixel larger than the
    box at its right and lower side, which is much of a small object.

    Args:
        boxes: (N, 4) xyxy image pixels.
        windows: (N, 4) int windows, see `geometry`.
        image_hws: height and width of each box's image.
        size: side of the maps.

    Returns:
        (N, 4) float32 in cells of the maps.
    """
    limits = np.array([(width, height, width, height) for height, width in image_hws])
    corner = np.tile(windows[:, :2], 2)
    sides = np.tile(windows[:, 2:] - windows[:, :2], 2)
    return ((np.clip(boxes, 0, limits) - corner) * (size / sides)).astype(np.float32)
