"""Curves of training runs, from what mmengine's LocalVisBackend logs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ..evaluation.run_log import Curve
from .line_chart import smooth

DEFAULT_KEYS = ('loss_mil', 'loss_crf', 'box_fill', 'mal/mIoU')


def plot_runs(
    runs: Mapping[str, Mapping[str, Curve]], keys: Sequence[str] | None = None
) -> Figure:
    """Draw one panel a key, one colour a run: the smoothed curve over the faint raw one.

    The running mean takes a twentieth of a curve's points; curves of fewer than 40 points stay
    raw, with dots.

    Args:
        runs: name -> what `read_curves` gives.
        keys: what to draw; None takes those of DEFAULT_KEYS that a run has.

    Raises:
        ValueError: no run has a key; names those that there are.
    """
    known = dict.fromkeys(key for curves in runs.values() for key in curves)
    wanted = keys or [key for key in DEFAULT_KEYS if key in known]
    if missing := [key for key in wanted if key not in known] or ([] if wanted else DEFAULT_KEYS):
        raise ValueError(f'no run has {", ".join(missing)}; there are {", ".join(known)}')

    figure = Figure((8, 0.6 + 2.4 * len(wanted)), layout='constrained')
    panels = figure.subplots(len(wanted), 1, sharex=True, squeeze=False)[:, 0]
    for key, axes in zip(wanted, panels, strict=True):
        for number, (name, curves) in enumerate(runs.items()):
            if key in curves:
                _plot_curve(axes, curves[key], name, f'C{number}')
        axes.set_ylabel(key)
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8)
    panels[-1].set_xlabel('iteration')
    panels[-1].xaxis.set_major_locator(MaxNLocator(integer=True))
    return figure


def _plot_curve(axes, curve: Curve, name: str, color: str) -> None:
    steps, values = np.array(list(curve)), np.array(list(curve.values()))
    window = len(values) // 40 * 2 + 1
    if window == 1:
        axes.plot(steps, values, '.-', color=color, label=name)
        return
    axes.plot(steps, values, color=color, alpha=0.25, linewidth=0.8)
    axes.plot(steps, smooth(values, window), color=color, label=f'{name} (mean of {window})')
