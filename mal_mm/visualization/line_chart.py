"""Curves of training runs as numbers for an SVG chart; see `curves` in charts.html.j2."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from .pages import short_number

# the plot's rectangle in the chart's view box
LEFT, RIGHT, TOP, BOTTOM = 46.0, 356.0, 14.0, 224.0
MAX_POINTS = 300


def smooth(values: np.ndarray, window: int) -> np.ndarray:
    """Centred running mean; near the ends over the part of the window that is there.

    Args:
        values: (n,).
        window: points in the mean, odd.

    Returns:
        (n,).
    """
    ones = np.ones(window)
    sums = np.convolve(values, ones)[window // 2 :][: len(values)]
    counts = np.convolve(np.ones(len(values)), ones)[window // 2 :][: len(values)]
    return sums / counts


def line_chart(title: str, runs: Mapping[str, Mapping[int, float]]) -> dict[str, Any] | None:
    """One line a run: the smoothed curve over the faint raw one.

    The running mean takes a twentieth of a curve's points; curves of fewer than 40 points stay
    raw.

    Args:
        title: what is drawn, such as 'loss'.
        runs: name -> {iteration: value}; values that are not finite are left out.

    Returns:
        `title`, `lines` (name, points and raw as SVG has them), `x_ticks` and `y_ticks` (place,
        text); None where no run has a value.
    """
    curves = {}
    for name, curve in runs.items():
        points = [(step, value) for step, value in curve.items() if math.isfinite(value)]
        if points:
            curves[name] = np.array(points, dtype=float).T
    if not curves:
        return None
    steps = np.concatenate([curve[0] for curve in curves.values()])
    values = np.concatenate([curve[1] for curve in curves.values()])
    x_ticks = _ticks(0.0, max(float(steps.max()), 1.0))
    y_ticks = _ticks(min(0.0, float(values.min())), float(values.max()))

    def drawn(curve_steps: np.ndarray, curve_values: np.ndarray) -> str:
        some = np.unique(np.linspace(0, len(curve_steps) - 1, MAX_POINTS).astype(int))
        x = _scaled(curve_steps[some], x_ticks, LEFT, RIGHT)
        y = _scaled(curve_values[some], y_ticks, BOTTOM, TOP)
        return ' '.join(f'{a:.1f},{b:.1f}' for a, b in zip(x, y, strict=True))

    lines = []
    for name, (own_steps, own_values) in curves.items():
        window = len(own_values) // 40 * 2 + 1
        raw = drawn(own_steps, own_values) if window > 1 else None
        mean = drawn(own_steps, smooth(own_values, window))
        lines.append({'name': name, 'points': mean, 'raw': raw})
    return {
        'title': title,
        'lines': lines,
        'x_ticks': [(float(_scaled(x, x_ticks, LEFT, RIGHT)), short_number(x)) for x in x_ticks],
        'y_ticks': [(float(_scaled(y, y_ticks, BOTTOM, TOP)), short_number(y)) for y in y_ticks],
    }


def _ticks(low: float, high: float) -> list[float]:
    """Three to six round numbers that enclose both."""
    span = high - low or abs(high) or 1.0
    unit = 10.0 ** math.floor(math.log10(span / 4))
    step = next(unit * factor for factor in (1, 2, 5, 10) if span / (unit * factor) <= 4.5)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(n * step, 12) for n in range(first, max(last, first + 1) + 1)]


def _scaled(values: Any, ticks: list[float], low: float, high: float) -> Any:
    return np.round(low + (values - ticks[0]) / (ticks[-1] - ticks[0]) * (high - low), 1)
