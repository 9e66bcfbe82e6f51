"""Masks and boxes drawn over pictures; pure functions on numpy arrays.

Pictures are HWC uint8 RGB. Boxes are COCO's `(x, y, width, height)` in pixels of the
picture before scaling. A mask is an (H, W) array, a COCO segmentation (RLE with str, bytes
or list counts, or polygons), or None where there is none.
"""

from __future__ import annotations

import colorsys
from collections.abc import Iterator, Sequence
from typing import Any

import cv2
import numpy as np
from pycocotools import mask as mask_utils

from mal_mm.formats import annotation_to_rle

Mask = np.ndarray | dict | list | None
Rgb = tuple[int, int, int]

# Agreement colours: told apart with any kind of colour blindness.
AGREED: Rgb = (86, 196, 110)
EXTRA: Rgb = (255, 140, 0)
MISSED: Rgb = (30, 110, 255)

GOLDEN_ANGLE = 0.61803398875


def instance_colors(number: int) -> np.ndarray:
    """Return `number` bright colours, neighbours in the list far apart, as (number, 3) uint8."""
    # Steps of the golden angle never repeat a hue; three tones part hues that come close.
    tones = ((0.80, 1.00), (0.62, 1.00), (0.95, 0.88))
    colors = [
        colorsys.hsv_to_rgb((0.92 + i * GOLDEN_ANGLE) % 1.0, *tones[i % len(tones)])
        for i in range(number)
    ]
    return np.rint(np.array(colors, dtype=float).reshape(-1, 3) * 255).astype(np.uint8)


def display_scale(size_hw: Sequence[int], target: int = 768, largest: int = 1280) -> float:
    """Return the factor that shows a picture well: small ones grow, huge ones shrink.

    Growing takes whole factors, so that every source pixel covers the same number of pixels
    and outlines stay crisp.

    Args:
        size_hw: height and width in pixels.
        target: the longer side that small pictures are grown towards, in pixels.
        largest: the longer side that huge pictures are shrunk to, in pixels.

    Returns:
        A whole number >= 1, or a fraction below 1 for pictures larger than `largest`.
    """
    longer = max(1, *size_hw)
    if longer > largest:
        return largest / longer
    return float(max(1, int(target / longer + 0.5)))


def scaled_size(size_hw: Sequence[int], scale: float) -> tuple[int, int]:
    """Return (height, width) after scaling, whole pixels, at least one each."""
    return max(1, round(size_hw[0] * scale)), max(1, round(size_hw[1] * scale))


def scale_image(image_rgb: np.ndarray, scale: float) -> np.ndarray:
    """Return the picture scaled by `scale`: cubic when growing, area mean when shrinking."""
    _check_image(image_rgb)
    if scale == 1:
        return image_rgb.copy()
    height, width = scaled_size(image_rgb.shape[:2], scale)
    how = cv2.INTER_CUBIC if scale > 1 else cv2.INTER_AREA
    return cv2.resize(image_rgb, (width, height), interpolation=how)


def decode_mask(mask: Mask, size_hw: Sequence[int]) -> np.ndarray:
    """Return a mask of any kind as an (H, W) bool array of the size asked for.

    Raises:
        ValueError: the mask cannot be decoded or has another size.
    """
    height, width = int(size_hw[0]), int(size_hw[1])
    if isinstance(mask, np.ndarray):
        decoded = mask.astype(bool)
    else:
        try:
            rle = annotation_to_rle({'segmentation': mask}, height, width)
        except ValueError as error:
            raise ValueError(str(error).removeprefix('annotation None: ')) from error
        if rle is None:
            return np.zeros((height, width), dtype=bool)
        decoded = mask_utils.decode(rle).astype(bool)
    if decoded.shape != (height, width):
        raise ValueError(
            f'a mask is {decoded.shape[-1]} x {decoded.shape[0]} pixels, '
            f'its picture {width} x {height}'
        )
    return decoded


def scale_mask(mask: np.ndarray, scale: float) -> np.ndarray:
    """Return the (H, W) bool mask scaled like `scale_image`, with a smooth edge.

    A mask that has pixels keeps at least one, so tiny objects never drop out of a picture.
    """
    if scale == 1:
        return mask
    height, width = scaled_size(mask.shape, scale)
    how = cv2.INTER_LINEAR if scale > 1 else cv2.INTER_AREA
    share = cv2.resize(mask.astype(np.float32), (width, height), interpolation=how)
    scaled = share >= 0.5
    return scaled if scaled.any() or not mask.any() else share >= share.max()


def draw_contours(
    image_rgb: np.ndarray, mask: np.ndarray, color: Sequence[int], thickness: int = 2
) -> None:
    """Draw the outline of an (H, W) bool mask, holes included, into the picture itself.

    The line lies inside the mask, `thickness` pixels wide: pixels outside are never touched,
    and objects that touch keep a line each.
    """
    # Not cv2.drawContours: its thick lines are uneven and reach out of the mask. What erosion
    # takes away is the line; pixels beyond the picture's edge count as outside.
    inside = cv2.erode(
        mask.astype(np.uint8),
        cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3)),
        iterations=int(thickness),
        borderType=cv2.BORDER_CONSTANT,
        borderValue=0,
    )
    image_rgb[mask & (inside == 0)] = np.asarray(color, dtype=np.uint8)


def draw_masks(
    image_rgb: np.ndarray,
    masks: Sequence[Mask] | np.ndarray | None = None,
    boxes_xywh: Sequence[Sequence[float]] | np.ndarray | None = None,
    colors: Sequence[Sequence[int]] | np.ndarray | None = None,
    alpha: float = 0.45,
    outline: int = 2,
    scale: float = 1.0,
    box_width: int = 1,
) -> np.ndarray:
    """Fill every mask with its colour, outline it, and frame its box.

    Large masks are drawn first, so that small ones on top of them stay visible; a pixel
    under several masks is tinted once, by the smallest.

    Args:
        image_rgb: (H, W, 3) uint8.
        masks: N masks in the picture's frame, see the module's docstring.
        boxes_xywh: (N, 4), or None for no boxes; rows that are no box are left out.
        colors: at least N RGB colours, by default `instance_colors(N)`.
        alpha: opacity of the fill, in [0, 1].
        outline: width of the outline in pixels of the result, 0 for none.
        scale: the result's size over the picture's, see `display_scale`.
        box_width: width of the boxes' lines in pixels of the result, drawn inwards.

    Returns:
        (H * scale, W * scale, 3) uint8; a new array.

    Raises:
        ValueError: the picture is not HWC uint8, a mask has another size, or there are
            fewer colours than instances.
    """
    canvas = scale_image(image_rgb, scale)
    masks = [] if masks is None else list(masks)
    boxes = _as_boxes(boxes_xywh)
    number = max(len(masks), len(boxes))
    palette = instance_colors(number) if colors is None else np.asarray(colors, dtype=np.uint8)
    if len(palette) < number:
        raise ValueError(f'`colors` has {len(palette)} rows for {number} instances')

    layers = list(_scaled_layers(masks, image_rgb.shape[:2], scale))
    layers.sort(key=lambda layer: -int(layer[2].sum()))
    owner = np.full(canvas.shape[:2], -1, dtype=np.int32)
    for index, window, mask in layers:
        owner[window][mask] = index
    tinted = owner >= 0
    blend = canvas[tinted] * (1.0 - alpha) + palette[owner[tinted]] * float(alpha)
    canvas[tinted] = np.rint(blend).astype(np.uint8)

    if outline > 0:
        for index, window, mask in layers:
            # A dark seam along the inside keeps the line visible on ground of its own colour.
            if outline > 1:
                draw_contours(canvas[window], mask, palette[index] // 4, outline + 1)
            draw_contours(canvas[window], mask, palette[index], outline)
    for index, box in enumerate(boxes):
        _draw_box(canvas, box, palette[index], scale, box_width)
    return canvas


def draw_agreement(
    image_rgb: np.ndarray,
    masks: Sequence[Mask],
    human_masks: Sequence[Mask],
    alpha: float = 0.6,
    scale: float = 1.0,
) -> np.ndarray:
    """Tint each pixel by what masks and human masks say of it, pair by pair.

    `AGREED`: inside both; `EXTRA`: in the mask only; `MISSED`: in the human mask only. Pairs
    without a human mask stay untinted; where pairs overlap, an error hides an agreement.

    Args:
        image_rgb: (H, W, 3) uint8.
        masks, human_masks: N each, in the same order, see the module's docstring.
        alpha: opacity of the errors in [0, 1]; agreement is drawn at half of it.
        scale: as in `draw_masks`.

    Returns:
        (H * scale, W * scale, 3) uint8; a new array.
    """
    canvas = scale_image(image_rgb, scale)
    size_hw = image_rgb.shape[:2]
    agreed, extra, missed = np.zeros((3, *canvas.shape[:2]), dtype=bool)
    for mask, human in zip(masks, human_masks, strict=True):
        if human is None:
            continue
        human_mask = scale_mask(decode_mask(human, size_hw), scale)
        empty = np.zeros_like(human_mask)
        own_mask = empty if mask is None else scale_mask(decode_mask(mask, size_hw), scale)
        agreed |= own_mask & human_mask
        extra |= own_mask & ~human_mask
        missed |= human_mask & ~own_mask
    for where, color, opacity in (
        (agreed & ~extra & ~missed, AGREED, alpha / 2),
        (extra & ~missed, EXTRA, alpha),
        (missed, MISSED, alpha),
    ):
        tint = canvas[where] * (1.0 - opacity) + np.array(color) * opacity
        canvas[where] = np.rint(tint).astype(np.uint8)
    return canvas


def window_around(
    box_xywh: Sequence[float], size_hw: Sequence[int], margin: float = 0.3, square: bool = False
) -> tuple[int, int, int, int]:
    """Return the window `(x0, y0, x1, y1)` round a box, x1 and y1 outside it.

    Args:
        box_xywh: the box; it may stick out of the picture.
        size_hw: height and width of the picture.
        margin: room on each side, as a share of the box's longer side, at least 2 px.
        square: widen the shorter side, moving along the picture's edges where it would
            leave the picture; pictures that are too narrow give a narrower window.

    Returns:
        Whole pixels inside the picture, at least one wide and high.

    Raises:
        ValueError: the box has no finite position and size.
    """
    box = np.asarray(box_xywh, dtype=float)
    if box.shape != (4,) or not np.isfinite(box).all():
        raise ValueError(f'`box_xywh` must be four finite numbers, got {box_xywh!r}')
    x, y, width, height = box
    width, height = max(width, 1.0), max(height, 1.0)
    room = max(2.0, margin * max(width, height))
    spans = []
    longer = max(width, height) + 2 * room
    for start, length, limit in ((x, width, size_hw[1]), (y, height, size_hw[0])):
        wanted = longer if square else length + 2 * room
        low = start + length / 2 - wanted / 2
        if square:
            low = min(max(low, 0.0), max(limit - wanted, 0.0))
        begin = int(np.clip(np.floor(low), 0, limit - 1))
        end = int(np.clip(np.ceil(low + wanted), begin + 1, limit))
        spans.append((begin, end))
    (x0, x1), (y0, y1) = spans
    return x0, y0, x1, y1


def crop_around(
    image: np.ndarray, box_xywh: Sequence[float], margin: float = 0.3, square: bool = False
) -> np.ndarray:
    """Cut the window round a box out of a picture or mask, see `window_around`.

    Args:
        image: (H, W) or (H, W, C), any type.
        box_xywh, margin, square: see `window_around`.

    Returns:
        A copy of the part inside the window.
    """
    x0, y0, x1, y1 = window_around(box_xywh, image.shape[:2], margin, square)
    return image[y0:y1, x0:x1].copy()


def _check_image(image_rgb: np.ndarray) -> None:
    if image_rgb.ndim != 3 or image_rgb.shape[2] != 3 or image_rgb.dtype != np.uint8:
        raise ValueError(
            f'`image_rgb` must be (H, W, 3) uint8, got {image_rgb.shape} {image_rgb.dtype}'
        )


def _as_boxes(boxes_xywh: Any) -> np.ndarray:
    if boxes_xywh is None or len(boxes_xywh) == 0:
        return np.zeros((0, 4))
    return np.asarray(boxes_xywh, dtype=float).reshape(-1, 4)


def _scaled_layers(
    masks: Sequence[Mask], size_hw: Sequence[int], scale: float
) -> Iterator[tuple[int, tuple[slice, slice], np.ndarray]]:
    """Yield position, window and the part of the mask inside it, of masks that are not empty."""
    for index, mask in enumerate(masks):
        if mask is None:
            continue
        scaled = scale_mask(decode_mask(mask, size_hw), scale)
        rows, columns = np.flatnonzero(scaled.any(axis=1)), np.flatnonzero(scaled.any(axis=0))
        if rows.size:
            window = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
            # A copy: hundreds of whole masks of a large picture would not fit into memory.
            yield index, window, scaled[window].copy()


def _draw_box(
    canvas: np.ndarray, box: np.ndarray, color: np.ndarray, scale: float, width: int
) -> None:
    if not np.isfinite(box).all() or min(box[2:]) <= 0:
        return
    # Far corners are clipped: cv2 takes 32-bit whole numbers and boxes may be anything.
    corners = np.clip(np.array([*box[:2], *(box[:2] + box[2:])]) * scale, -1e6, 1e6)
    x0, y0, x1, y1 = (int(v) for v in np.rint(corners))
    colour = tuple(int(c) for c in color)
    for inset in range(width):
        first, last = (x0 + inset, y0 + inset), (x1 - 1 - inset, y1 - 1 - inset)
        if inset == 0 or (first[0] <= last[0] and first[1] <= last[1]):
            cv2.rectangle(canvas, first, last, colour, 1)
