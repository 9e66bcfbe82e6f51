"""Outlines of the drawn shapes: one function per family, each a list of closed contours.

A family function takes a random generator and returns contours around the origin, (n, 2) float
arrays of x, y in any unit; a second contour is a hole. `draw_outline` turns, stretches and scales
one, and rasterises it.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

SUPERSAMPLING = 4
Contours = list[np.ndarray]


def ellipse(rng: np.random.Generator) -> Contours:
    """Ellipse, the short axis at least 0.45 of the long one."""
    return [_polar(_angles(72)) * [1.0, rng.uniform(0.45, 1.0)]]


def polygon(rng: np.random.Generator) -> Contours:
    """Irregular polygon of 3 to 7 corners."""
    corners = int(rng.integers(3, 8))
    jitter = rng.uniform(-0.3, 0.3, corners) * 2 * np.pi / corners
    return [_polar(_angles(corners) + jitter, rng.uniform(0.75, 1.0, corners))]


def star(rng: np.random.Generator) -> Contours:
    """Star of 4 to 8 points."""
    points = int(rng.integers(4, 9))
    radii = np.ones(2 * points)
    radii[1::2] = rng.uniform(0.4, 0.62)
    return [_polar(_angles(2 * points), radii * rng.uniform(0.92, 1.08, 2 * points))]


def ring(rng: np.random.Generator) -> Contours:
    """Ring whose hole is off the centre by little; ground and other objects show through."""
    outer = _polar(_angles(72))
    hole = outer * rng.uniform(0.4, 0.65)
    return [outer, hole + rng.uniform(-0.1, 0.1, 2)]


def blob(rng: np.random.Generator) -> Contours:
    """Smooth random outline: a circle with four low harmonics."""
    angles = _angles(96)
    harmonics = np.arange(2, 6)
    amplitudes = rng.uniform(0.1, 0.4, 4) / np.sqrt(harmonics)
    phases = rng.uniform(0, 2 * np.pi, 4)
    waves = amplitudes * np.cos(harmonics * angles[:, None] + phases)
    return [_polar(angles, np.maximum(1.0 + waves.sum(axis=1), 0.25))]


FAMILIES: dict[str, Callable[[np.random.Generator], Contours]] = {
    'ellipse': ellipse,
    'polygon': polygon,
    'star': star,
    'ring': ring,
    'blob': blob,
}


def draw_outline(rng: np.random.Generator, family: str, side: float) -> np.ndarray:
    """Draw one shape of a family, turned and stretched at random.

    Args:
        rng: random generator.
        family: a key of `FAMILIES`.
        side: longer side of the shape's box in pixels.

    Returns:
        (h, w) float32, the share of each pixel that the shape covers, in [0, 1], cropped to the
        shape with a margin of one or two pixels.
    """
    contours = FAMILIES[family](rng)
    turn = rng.uniform(0, 2 * np.pi)
    stretch = rng.uniform(0.7, 1.0)
    rotation = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    contours = [contour * [1.0, stretch] @ rotation for contour in contours]

    low, high = contours[0].min(axis=0), contours[0].max(axis=0)
    scale = side / (high - low).max()
    # The fraction of a pixel by which shapes are shifted keeps their edges off the pixel grid.
    offset = 1.0 + rng.uniform(0, 1, 2)
    width, height = np.ceil((high - low) * scale + offset + 1).astype(int)
    fine = np.zeros((height * SUPERSAMPLING, width * SUPERSAMPLING), np.uint8)
    points = [((contour - low) * scale + offset) * SUPERSAMPLING - 0.5 for contour in contours]
    # fillPoly counts crossings (even-odd), so that the second contour cuts a hole.
    cv2.fillPoly(fine, [np.rint(contour).astype(np.int32) for contour in points], 255)
    return cv2.resize(fine, (width, height), interpolation=cv2.INTER_AREA).astype(np.float32) / 255


def _angles(count: int) -> np.ndarray:
    return np.arange(count) * (2 * np.pi / count)


def _polar(angles: np.ndarray, radii: np.ndarray | float = 1.0) -> np.ndarray:
    return np.stack([radii * np.cos(angles), radii * np.sin(angles)], axis=1)
