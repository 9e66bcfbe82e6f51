"""The summary page of a run: one HTML file that needs nothing else."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from ..evaluation.average_precision import AP_NAMES
from ..evaluation.run_log import read_curves
from ..formats import atomic_write
from ..labeling.summary import BINS
from ..version import __version__
from ..visualization.report import load_template
from ..visualization.training_curves import plot_runs
from .state import RunState

PAGE = 'index.html'
_AP_ROWS = (('mal', "the labeler's masks"), ('gt', 'human masks'))
_SEGMENTERS = {"the labeler's masks": 'segmenter', 'human masks': 'segmenter_gt'}
_SEGMENTER_KEYS = ('loss', 'coco/segm_mAP')


@cache
def page_template() -> Any:
    """The page's template; raises ModuleNotFoundError without Jinja2."""
    return load_template('two_phase.html.j2')


def write_page(
    work_dir: Path, titles: Mapping[str, str], state: RunState, numbers: Mapping[str, Any]
) -> Path:
    """Write the page, whole or not at all.

    Args:
        work_dir: of the run; links on the page are relative to it.
        titles: step -> what it does.
        state: arguments, and how the steps went.
        numbers: what `collect` gives.

    Returns:
        Path of the page.

    Raises:
        ModuleNotFoundError: Jinja2 is not installed.
    """
    histogram = numbers.get('labeling', {}).get('quality_histogram', [])
    page = page_template().render(
        version=__version__,
        name=work_dir.resolve().name,
        arguments={key: value for key, value in state.arguments.items() if value},
        steps=[{'name': name, 'title': titles[name], **state.steps[name]} for name in titles],
        numbers=numbers,
        evaluates=bool(state.arguments.get('val_ann')),
        ap_names=AP_NAMES,
        ap_rows=_AP_ROWS,
        report='report/index.html' if (work_dir / 'report' / 'index.html').is_file() else None,
        labeler_curves=_curves({'labeler': work_dir / 'labeler'}),
        segmenter_curves=_curves(
            {name: work_dir / folder for name, folder in _SEGMENTERS.items()}, _SEGMENTER_KEYS
        ),
        quality_chart=_picture(_quality_figure(histogram)) if any(histogram) else None,
    )
    path = work_dir / PAGE
    with atomic_write(path) as file:
        file.write(page)
    return path


def _curves(work_dirs: Mapping[str, Path], keys: Sequence[str] | None = None) -> str | None:
    """Curves of the runs that have begun, as a picture; None where there is nothing to show."""
    runs = {}
    for name, work_dir in work_dirs.items():
        try:
            runs[name] = read_curves(work_dir)
        except ValueError:  # not begun
            continue
    known = {key for curves in runs.values() for key in curves}
    try:
        return _picture(plot_runs(runs, keys and [key for key in keys if key in known]))
    except ValueError:  # none of the keys
        return None


def _quality_figure(counts: Sequence[int]) -> Figure:
    figure = Figure((8, 2.6), layout='constrained')
    axes = figure.subplots()
    axes.bar([(n + 0.5) / BINS for n in range(BINS)], counts, width=0.9 / BINS, color='C3')
    axes.set(xlabel='quality', ylabel='masks', xlim=(0, 1))
    axes.grid(axis='y', alpha=0.3)
    return figure


def _picture(figure: Figure) -> str:
    file = io.BytesIO()
    figure.savefig(file, format='png', dpi=120)
    return f'data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}'
