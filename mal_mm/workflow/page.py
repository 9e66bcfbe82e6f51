"""The summary page of a run: one HTML file that needs nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from ..evaluation.average_precision import AP_NAMES
from ..evaluation.retention import LVIS_NAMES
from ..evaluation.run_log import read_curves
from ..formats import atomic_write
from ..labeling.summary import BINS
from ..version import __version__
from ..visualization.line_chart import line_chart
from ..visualization.pages import load_template
from .state import DONE, FAILED, RUNNING, STOPPED, RunState

PAGE = 'index.html'
_AP_ROWS = (('mal', "the labeler's masks"), ('gt', 'human masks'))
_SEGMENTERS = {"the labeler's masks": 'segmenter', 'human masks': 'segmenter_gt'}
_LABELER_KEYS = ('loss_mil', 'loss_crf', 'box_fill', 'mal/mIoU')
_SEGMENTER_KEYS = ('loss', 'coco/segm_mAP', 'lvis/segm_AP')


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
    steps = {name: {'name': name, 'title': titles[name], **state.steps[name]} for name in titles}
    histogram = numbers.get('labeling', {}).get('quality_histogram', [])
    measured = {
        name
        for kinds in numbers.get('ap', {}).values()
        for scores in kinds.values()
        for name in scores
    }
    page = page_template().render(
        version=__version__,
        name=work_dir.resolve().name,
        arguments={key: value for key, value in state.arguments.items() if value},
        steps=list(steps.values()),
        numbers=numbers,
        evaluates=bool(state.arguments.get('val_ann')),
        ap_names=[*AP_NAMES, *(each for each in LVIS_NAMES if each in measured)],
        ap_rows=_AP_ROWS,
        report='report/index.html' if (work_dir / 'report' / 'index.html').is_file() else None,
        labeler_charts=_charts({'labeler': work_dir / 'labeler'}, _LABELER_KEYS),
        segmenter_charts=_charts(
            {name: work_dir / folder for name, folder in _SEGMENTERS.items()}, _SEGMENTER_KEYS
        ),
        quality_bins=_bins(histogram) if any(histogram) else None,
        why_nothing=lambda name, what: _why_nothing(steps.get(name), what),
    )
    path = work_dir / PAGE
    with atomic_write(path) as file:
        file.write(page)
    return path


def _charts(work_dirs: Mapping[str, Path], keys: Sequence[str]) -> list[dict[str, Any]]:
    """Curves of the runs that have begun, a chart for each key that they have logged."""
    runs = {}
    for name, work_dir in work_dirs.items():
        with suppress(ValueError):  # not begun
            runs[name] = read_curves(work_dir)
    charts = [
        line_chart(key, {name: curves[key] for name, curves in runs.items() if key in curves})
        for key in keys
    ]
    return [chart for chart in charts if chart]


def _bins(counts: Sequence[int]) -> list[dict[str, float]]:
    """The quality histogram of labeling, as the chart of it takes it."""
    return [{'low': n / BINS, 'high': (n + 1) / BINS, 'count': c} for n, c in enumerate(counts)]


def _why_nothing(step: Mapping[str, Any] | None, what: str) -> str:
    """Why a step has nothing to show, in a sentence.

    Args:
        step: see RunState; None where the run has no such step.
        what: what is missing, such as 'curves'.
    """
    if step is None:
        return f'No {what}: this run has no such step.'
    name, log = step['name'], f' Its log is {step["log"]}.' if step.get('log') else ''
    if step['status'] == FAILED:
        return f'No {what}: step {name!r} ended with exit status {step["exit_status"]}.{log}'
    if step['status'] == STOPPED:
        return f'No {what} yet: step {name!r} was interrupted; the same command goes on.{log}'
    if step['status'] == RUNNING:
        return f'No {what} yet: step {name!r} is at work, or was killed.{log}'
    if step['status'] == DONE:
        return f'No {what}: step {name!r} is done, but has left none.{log}'
    return f'No {what} yet: step {name!r} has not begun.'
