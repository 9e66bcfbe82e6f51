"""Cutting holes into masks where the image shows the surroundings. Beyond the paper.

A box says nothing about the inside of an object, so a labeler trained with boxes fills rings.
"""

from __future__ import annotations

import cv2
import numpy as np

from .crop import Crop

# lengths in parts of the mask's size, the root of its bounding box's area
_SURROUNDINGS = 0.2  # how far out the background is looked at
_BAND = 0.08  # depth of the surely covered band along the outline
_SLACK = 0.02  # outlines are not more exact than this
_WINDOW = 0.06  # evidence is averaged over it, holes are smoothed with it
# a hole covers at least this part of the mask
_MIN_AREA = 0.03
# and this is the least mean log ratio in it: chance makes up to 1 on photographs, 2.4 on nuclei
_MIN_EVIDENCE = 2.5
# fewer samples are no colour model
_MIN_SAMPLES = 20
# more pixels cost time and add nothing
_MAX_SIDE = 320
_BINS = 32
# share of pixels that any colour may have: what neither model knows says nothing
_UNKNOWN = 1e-4


def carve_holes(region: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """Cut out of a mask what looks like its surroundings and is enclosed by the mask.

    Colours of a band just inside the outline are set against those around the mask. Where the log
    of their ratio, averaged over a small window, speaks for the surroundings is a hole, provided
    that the evidence is strong and that it keeps clear of the outline and is neither small nor
    thin. The image border is no outline. Made for objects with holes: parts that look like the
    surroundings are lost.

    Args:
        region: (h, w) bool, with some of the mask's surroundings.
        pixels: (h, w, 3) uint8 RGB, the image there.

    Returns:
        (h, w) bool, a part of `region`; `region` itself when there is nothing to cut.
    """
    if not region.any():
        return region
    left, top, width, height = cv2.boundingRect(region.astype(np.uint8))
    pad = max(round(_SURROUNDINGS * (width * height) ** 0.5), 3)
    window = (
        slice(max(top - pad, 0), top + height + pad),
        slice(max(left - pad, 0), left + width + pad),
    )
    part, colours = region[window], pixels[window]
    shrink = min(_MAX_SIDE / max(part.shape), 1)
    if shrink < 1:
        colours = cv2.resize(colours, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA)
        part = _resize(part, colours.shape[:2])
    holes = _find_holes(part, colours, shrink * (width * height) ** 0.5)
    if not holes.any():
        return region
    carved = region.copy()
    carved[window] &= ~_resize(holes, carved[window].shape)
    return carved


def carve_holes_on_crop(region: np.ndarray, corner: tuple[int, int], crop: Crop) -> np.ndarray:
    """The same where the image is gone and its crop is left.

    Args:
        region: (h, w) bool, inside a window of the crop and the image.
        corner: image row and column of its first pixel.
        crop: of its views the one that shows most is looked at.

    Returns:
        (h, w) bool.
    """
    if not region.any():  # perhaps not even a row, and beside the window
        return region
    view = max((crop, *crop.views), key=lambda view: int(view.window[2] - view.window[0]))
    left, top, right, bottom = view.window.tolist()
    pixels = cv2.resize(view.pixels, (right - left, bottom - top), interpolation=cv2.INTER_AREA)
    # beside the image the crop shows no surroundings but padding
    (height, width), (up, out) = crop.image_hw, (max(top, 0), max(left, 0))
    pixels = pixels[up - top : height - top, out - left : width - left]
    shown = np.zeros(pixels.shape[:2], dtype=bool)
    place = tuple(
        slice(at - start, at - start + length)
        for at, start, length in zip(corner, (up, out), region.shape, strict=True)
    )
    shown[place] = region
    return carve_holes(shown, pixels)[place]


def _find_holes(region: np.ndarray, pixels: np.ndarray, size: float) -> np.ndarray:
    slack, band, radius = (
        max(round(part * size), least)
        for part, least in ((_SLACK, 1), (_BAND, 2), (_WINDOW / 2, 1))
    )
    solid = _fill_holes(region)
    depth, distance = _distance_to_outside(solid), _distance_to_outside(~solid)
    inner = (depth > slack) & (depth <= slack + band)
    outer = distance > slack
    if min(inner.sum(), outer.sum()) < _MIN_SAMPLES:
        return np.zeros_like(region)
    codes = _colour_codes(pixels)
    ratio = np.log(_colour_model(codes[outer]) / _colour_model(codes[inner]))[codes]
    # textures have colours of both: one pixel says little
    evidence = cv2.GaussianBlur(ratio, (2 * radius + 1,) * 2, 0)
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1,) * 2)
    candidates = ((evidence > 0) & (depth > slack)).astype(np.uint8)
    for step in (cv2.MORPH_CLOSE, cv2.MORPH_OPEN):
        candidates = cv2.morphologyEx(candidates, step, kernel)
    _, labels = cv2.connectedComponents(candidates, connectivity=4)
    areas = np.bincount(labels.ravel())
    keep = areas >= _MIN_AREA * region.sum()
    keep &= np.bincount(labels.ravel(), ratio.ravel()) >= _MIN_EVIDENCE * areas
    keep[labels[depth <= slack + 1]] = False  # also 0, what is no candidate
    return _fill_holes(keep[labels])


def _distance_to_outside(region: np.ndarray) -> np.ndarray:
    """Of every pixel to the nearest outside the region, in pixels; the border is none."""
    return cv2.distanceTransform(region.astype(np.uint8), cv2.DIST_L2, 5)


def _colour_codes(pixels: np.ndarray) -> np.ndarray:
    """(h, w) cell of every pixel's colour: Lab in cubes as fine as the colours there allow."""
    lab = cv2.cvtColor(cv2.GaussianBlur(pixels, (3, 3), 0), cv2.COLOR_RGB2LAB).astype(np.int32)
    lab -= lab.min((0, 1))
    cells = lab * _BINS // max(int(lab.max()) + 1, 64)  # noise must not fill the whole range
    return (cells[..., 0] * _BINS + cells[..., 1]) * _BINS + cells[..., 2]


def _colour_model(codes: np.ndarray) -> np.ndarray:
    """(cells,) float32 smoothed share of the pixels that have each colour."""
    counts = np.bincount(codes, minlength=_BINS**3).astype(np.float32)
    # smoothed along two axes as a picture whose channels are the third axis, then along that one
    smooth = cv2.GaussianBlur(
        counts.reshape(_BINS, _BINS, _BINS), (7, 7), 1, borderType=cv2.BORDER_REPLICATE
    )
    smooth = cv2.GaussianBlur(
        smooth.reshape(-1, _BINS), (7, 1), 1, 0.1, borderType=cv2.BORDER_REPLICATE
    )
    return smooth.ravel() / len(codes) + _UNKNOWN


def _resize(region: np.ndarray, hw: tuple[int, ...]) -> np.ndarray:
    resized = cv2.resize(region.astype(np.float32), hw[::-1], interpolation=cv2.INTER_LINEAR)
    return resized > 0.5


def _fill_holes(region: np.ndarray) -> np.ndarray:
    """A mask with its holes filled: background that no path of side neighbours leads out of.

    Args:
        region: (h, w) bool.

    Returns:
        (h, w) bool.
    """
    # a ring of background joins all that touches the region's border
    outside = np.pad(~region, 1, constant_values=True).astype(np.uint8)
    _, labels = cv2.connectedComponents(outside, connectivity=4)
    return (labels != labels[0, 0])[1:-1, 1:-1]
