"""Random textures: a pattern in [0, 1] that blends two colours, and grain."""

from __future__ import annotations

import cv2
import numpy as np


def noise(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Clouds: four octaves of smooth noise, (height, width) float32 in [0, 1]."""
    cell = rng.uniform(16, 64)
    persistence = rng.uniform(0.4, 0.8)
    total = np.zeros((height, width), np.float32)
    for octave in range(4):
        total += persistence**octave * _smooth_noise(rng, height, width, cell / 2**octave)
    return _stretch(total)


def stripes(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Bent stripes of a random period and edge, (height, width) float32 in [0, 1]."""
    turn = rng.uniform(0, np.pi)
    period = rng.uniform(5, 28)
    xs, ys = np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)[:, None]
    phase = (xs * np.float32(np.cos(turn)) + ys * np.float32(np.sin(turn))) / np.float32(period)
    phase += np.float32(rng.uniform(0, 1.5)) * _smooth_noise(rng, height, width, 48)
    return _contrast(rng, np.sin(phase * np.float32(2 * np.pi)))


def dots(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """A bent grid of round dots, (height, width) float32 in [0, 1]."""
    turn = rng.uniform(0, np.pi)
    scale = np.float32(2 * np.pi / rng.uniform(7, 28))
    cos, sin = np.float32(np.cos(turn)), np.float32(np.sin(turn))
    xs, ys = np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)[:, None]
    bend = np.float32(rng.uniform(0, 5)) * _smooth_noise(rng, height, width, 48)
    waves = np.sin((xs * cos + ys * sin) * scale + bend) * np.sin((ys * cos - xs * sin) * scale)
    return _contrast(rng, waves)


def gradient(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """A ramp across the patch with some clouds, (height, width) float32 in [0, 1]."""
    turn = rng.uniform(0, 2 * np.pi)
    xs = np.linspace(-1, 1, width, dtype=np.float32)
    ys = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    ramp = xs * np.float32(np.cos(turn)) + ys * np.float32(np.sin(turn))
    return _stretch(ramp + np.float32(rng.uniform(0, 0.8)) * _smooth_noise(rng, height, width, 24))


PATTERNS = (noise, stripes, dots, gradient)


def random_texture(
    rng: np.random.Generator, height: int, width: int, first: np.ndarray, second: np.ndarray
) -> np.ndarray:
    """A random pattern that blends two colours, with grain of random strength.

    Args:
        rng: random generator.
        height, width: of the patch, in pixels.
        first, second: RGB colours, (3,) in [0, 255].

    Returns:
        (height, width, 3) float32, about [0, 255]; the grain may lead a little beyond.
    """
    pattern = PATTERNS[rng.integers(len(PATTERNS))](rng, height, width)
    grain = np.float32(rng.uniform(0, 14)) * rng.standard_normal((height, width), np.float32)
    # Grain finer than a pixel is camera noise, which is added later; coarser grain is texture.
    grain = cv2.GaussianBlur(grain, (0, 0), rng.uniform(0.4, 1.4))
    first, second = first.astype(np.float32), second.astype(np.float32)
    return first + pattern[..., None] * (second - first) + grain[..., None]


def _smooth_noise(rng: np.random.Generator, height: int, width: int, cell: float) -> np.ndarray:
    # (height, width) float32, about [0, 1], with one random value per cell of `cell` pixels
    grid = rng.random((int(height / cell) + 2, int(width / cell) + 2), np.float32)
    return cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC)


def _stretch(values: np.ndarray) -> np.ndarray:
    low, high = values.min(), values.max()
    return (values - low) / max(high - low, np.float32(1e-6))


def _contrast(rng: np.random.Generator, waves: np.ndarray) -> np.ndarray:
    # waves in [-1, 1] -> [0, 1], from a sine (factor 1) to nearly hard edges (factor 4)
    return np.clip(0.5 + np.float32(rng.uniform(0.5, 2.0)) * waves, 0, 1)
