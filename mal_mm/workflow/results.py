"""The figures of a run, read from what its steps have left."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..evaluation.retention import NoEvaluationError, read_evaluation, retention
from ..evaluation.run_log import read_curves

_LAST_LOSSES = 50


def collect(work_dir: Path, done: Mapping[str, bool]) -> dict[str, Any]:
    """All figures that there are so far, as JSON can hold them.

    Args:
        work_dir: of the run.
        done: step -> whether it is done.

    Returns:
        `labeler`, `segmenter`, `segmenter_gt`: `iterations` and the mean `losses` of the last
        ones; `labeling`: counts and quality histogram; `masks`: mean IoU with human masks beside
        the floors; `ap`: 'mal' and 'gt' -> 'segm' and 'bbox', where they were measured -> name
        of AP -> value in [0, 1], None where no instance has the size; `retention`: kind -> name
        of AP -> AP(mal) / AP(gt) in %. A key is missing as long as its step is not done.
    """
    numbers: dict[str, Any] = {}
    for name in ('labeler', 'segmenter', 'segmenter_gt'):
        if done.get(name):
            numbers[name] = training_figures(work_dir / name)
    if done.get('labeling'):
        numbers['labeling'] = labeling_figures(work_dir / 'labeling.json')
    if done.get('masks'):
        metrics = json.loads((work_dir / 'masks.json').read_text())
        numbers['masks'] = {
            kind: metrics[kind]['mean_iou'] for kind in ('masks', 'inscribed_ellipse', 'box_fill')
        }
    scores = {
        key: test_scores(work_dir / name)
        for key, name in (('mal', 'evaluation'), ('gt', 'evaluation_gt'))
        if done.get(name)
    }
    if scores:
        numbers['ap'] = scores
    if len(scores) == 2:
        numbers['retention'] = {
            kind: retention(scores['mal'].get(kind, {}), of_kind)
            for kind, of_kind in scores['gt'].items()
        }
    return numbers


def training_figures(work_dir: Path) -> dict[str, Any]:
    """Iterations of a training, and what its losses were at the end; 0 and none without a log."""
    try:
        curves = read_curves(work_dir)
    except ValueError:  # a recipe that logs elsewhere
        return {'iterations': 0, 'losses': {}}
    losses = {key: list(curve.values()) for key, curve in curves.items() if 'loss' in key}
    return {
        'iterations': int(max(max(curve, default=0) for curve in curves.values())),
        'losses': {
            key: sum(values[-_LAST_LOSSES:]) / len(values[-_LAST_LOSSES:])
            for key, values in losses.items()
        },
    }


def labeling_figures(summary: Path) -> dict[str, Any]:
    """What generate_pseudo_masks.py wrote, without the time, the skipped counted by reason."""
    figures = json.loads(summary.read_text())
    figures.pop('seconds', None)
    reasons: dict[str, int] = {}
    for each in figures.pop('skipped'):
        reasons[each['reason']] = reasons.get(each['reason'], 0) + 1
    return {**figures, 'skipped': reasons}


def test_scores(work_dir: Path) -> dict[str, dict[str, float | None]]:
    """AP of the newest test in a work dir, by kind; nothing if it logged another measure."""
    try:
        return {kind: dict(each) for kind, each in read_evaluation(work_dir).scores.items()}
    except NoEvaluationError:
        return {}


def headlines(numbers: Mapping[str, Any]) -> list[str]:
    """The outcome in a few lines of text; `numbers` is what `collect` gives."""
    labeling = numbers['labeling']
    lines = [f'{labeling["masks"]} of {labeling["annotations"]} boxes have a mask']
    lines += [f'not labelled: {count} x {why}' for why, count in labeling['skipped'].items()]
    lines += [f'warning: {each}' for each in labeling.get('warnings', ())]
    if 'masks' in numbers:
        lines.append(f'mean IoU with human masks {_percent(numbers["masks"]["masks"])} %')
    for key, name in (('mal', "on the labeler's masks"), ('gt', 'on human masks')):
        for kind, scores in numbers.get('ap', {}).get(key, {}).items():
            lines.append(f'{kind} AP of the segmenter trained {name}: {_percent(scores["AP"])}')
    for kind, scores in numbers.get('retention', {}).items():
        kept = scores['AP']
        lines.append(f'{kind} retention rate: {"-" if kept is None else f"{kept:.1f}"} %')
    if 'ap' not in numbers:
        lines.append('no AP: without --val-ann there is nothing to evaluate on')
    return lines


def _percent(value: float | None) -> str:
    return '-' if value is None else f'{100 * value:.1f}'
