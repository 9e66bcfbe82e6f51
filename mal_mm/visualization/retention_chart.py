"""Bars of AP with human masks and with others, and what share of it is kept."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from matplotlib.figure import Figure

if TYPE_CHECKING:
    from mal_mm.evaluation.retention import Line


def plot_retention(lines: Sequence[Line]) -> Figure:
    """Draw a comparison: a panel for masks and one for boxes, one colour a run.

    Args:
        lines: what `compare` gives; retention rates are written above the bars.
    """
    kinds = list(dict.fromkeys(line.kind for line in lines))
    runs = list(dict.fromkeys(line.run for line in lines))
    width = 0.8 / len(runs)
    figure = Figure((9, 0.5 + 3.2 * len(kinds)), layout='constrained')
    panels = figure.subplots(len(kinds), 1, squeeze=False)[:, 0]
    for kind, axes in zip(kinds, panels, strict=True):
        values = {(line.run, line.measure): line.values for line in lines if line.kind == kind}
        names = list(values[runs[0], 'AP'])
        for number, run in enumerate(runs):
            scores, kept = values[run, 'AP'], values.get((run, 'retention'), {})
            bars = axes.bar(
                [group + (number + 0.5) * width - 0.4 for group in range(len(names))],
                [scores.get(name) or 0 for name in names],
                0.92 * width,
                label=run,
                color=f'C{number}',
            )
            shares = (kept.get(name) for name in names)
            texts = ['' if share is None else f'{share:.0f}%' for share in shares]
            axes.bar_label(bars, texts, padding=1, fontsize=7)
        axes.set_xticks(range(len(names)), names)
        axes.set_ylabel(f'{kind}, %')
        axes.margins(y=0.1)
        axes.grid(axis='y', alpha=0.3)
        axes.set_axisbelow(True)
        axes.legend(fontsize=8, ncols=len(runs), loc='lower left', bbox_to_anchor=(0, 1))
    return figure
