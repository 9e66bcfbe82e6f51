"""Retention rate: what a segmenter keeps of its AP when pseudo-masks replace human ones."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from mal_mm.evaluation.run_log import read_rows
from mal_mm.formats import read_coco
from mal_mm.formats.detections import read_detections

from .average_precision import AP_NAMES, coco_ap
from .human_truth import human_images, is_mixed

LVIS_NAMES = ('APr', 'APc', 'APf')  # rare, common, frequent classes
# coco/segm_mAP_50, as CocoMetric names it, or lvis/segm_AP50, as LVISMetric does
_KEY = re.compile(r'(?:.*/)?(segm|bbox)_(m?AP(?:_?(?:50|75|[smlrcf]))?)')
_LOGS = ('vis_data/scalars.json', '*/vis_data/scalars.json')

Scores = Mapping[str, 'float | None']


class NoEvaluationError(ValueError):
    """A run that has not been evaluated; says where one was looked for."""


@dataclass(frozen=True)
class Evaluation:
    """One evaluation of one run.

    Attributes:
        benchmark: 'COCO' or 'LVIS', whose rules AP was counted by.
        scores: 'segm' and 'bbox', those there are -> name of AP -> value in [0, 1]; None where
            the ground truth has no instance of that size or frequency.
        step: epoch or iteration of the training, as the log counts; None of a test.
        source: where it was found, for the reader.
    """

    benchmark: str
    scores: Mapping[str, Scores]
    step: int | None
    source: str

    @property
    def main_score(self) -> float:
        """The AP of masks, of boxes where there are none; by which the best is chosen."""
        score = self.scores['segm' if 'segm' in self.scores else 'bbox'].get('AP')
        return -1.0 if score is None else score


@dataclass(frozen=True)
class Line:
    """One line of the comparison: the AP of a run, or its retention rate.

    Attributes:
        kind: 'segm' or 'bbox'.
        run: its name.
        measure: 'AP' or 'retention'.
        values: name of AP -> %, None where unknown or undefined.
    """

    kind: str
    run: str
    measure: str
    values: Scores

    @property
    def label(self) -> str:
        return self.run if self.measure == 'AP' else f'{self.run} / GT, %'


def retention(scores: Scores, reference: Scores) -> dict[str, float | None]:
    """Share of the reference's AP that is kept, in %.

    Args:
        scores: name of AP -> value.
        reference: likewise, of the run with human masks.

    Returns:
        Each name of `reference` -> %; None where one of both is missing or the reference is 0.
    """
    return {
        name: 100 * part / whole if whole and (part := scores.get(name)) is not None else None
        for name, whole in reference.items()
    }


def compare(runs: Mapping[str, Evaluation]) -> list[Line]:
    """AP of each run and its retention rate.

    Args:
        runs: by name; the first is the one with human masks.

    Returns:
        For segm and bbox, those that the first run has: a line of AP for it, and one of AP and
        one of retention for each other run.

    Raises:
        ValueError: the runs were not evaluated alike.
    """
    (human, reference), *others = runs.items()
    for name, run in others:
        if run.benchmark != reference.benchmark:
            raise ValueError(
                f'{human} was evaluated by the rules of {reference.benchmark} '
                f'({reference.source}), {name} by those of {run.benchmark} ({run.source}); their '
                'APs cannot be compared'
            )
        if not reference.scores.keys() & run.scores.keys():
            raise ValueError(
                f'{human} has AP of {" and ".join(reference.scores)} ({reference.source}), {name} '
                f'of {" and ".join(run.scores)} ({run.source}); test both with the same '
                'test_evaluator.metric'
            )
    lines = []
    for kind in reference.scores:
        for name, run in runs.items():
            scores = run.scores.get(kind, {})
            lines.append(Line(kind, name, 'AP', _percent(scores)))
            if name != human:
                kept = retention(scores, reference.scores[kind])
                lines.append(Line(kind, name, 'retention', kept))
    return lines


def read_evaluation(
    path: str | Path, best: bool = False, gt_ann: str | Path | None = None
) -> Evaluation:
    """Find a run's AP in what MMDetection has written.

    Args:
        path: a work dir: of its training, all starts of it, the last validation; of a work dir
            that was only tested in, the newest test. Or a file: scalars.json or another log of
            JSON lines, the JSON of a test, COCO results (`*.segm.json`, `*.bbox.json`).
        best: the validation of the highest mask AP instead of the last.
        gt_ann: human masks, which COCO results are scored with.

    Raises:
        NoEvaluationError: there is none in it.
        ValueError: the file cannot be used.
        FileNotFoundError: there is no such file or folder.
    """
    path = Path(path)
    if path.is_dir():
        found = _in_work_dir(path)
    elif not path.exists():
        raise FileNotFoundError(f'{path} does not exist (from {Path.cwd()})')
    elif _holds_results(path):
        return _score_results(path, gt_ann)
    else:
        found = _in_log(path)
    if not found:
        raise NoEvaluationError(
            f'{path}: no evaluation found, that is nothing like coco/segm_mAP or lvis/segm_AP; '
            'give the work dir of a training with validation, its scalars.json, the JSON of '
            'tools/test.py, or COCO results'
        )
    chosen = max(reversed(found), key=lambda each: each.main_score) if best else found[-1]
    if chosen.step is None:
        return chosen
    which = f'{"best" if best else "last"} of {len(found)}'
    return Evaluation(
        chosen.benchmark,
        chosen.scores,
        chosen.step,
        f'{path}, step {chosen.step}, the {which} validations',
    )


def format_markdown(lines: Sequence[Line]) -> str:
    """One table for segm and one for bbox, in %, with '-' for what is undefined."""
    tables = []
    for kind in dict.fromkeys(line.kind for line in lines):
        shown = [line for line in lines if line.kind == kind]
        names = _names(shown)
        rows = [
            [kind, *names],
            ['---', *('--:' for _ in names)],
            *([line.label, *(_cell(line.values.get(name)) for name in names)] for line in shown),
        ]
        tables.append('\n'.join(f'| {" | ".join(row)} |' for row in rows))
    return '\n\n'.join(tables)


def write_csv(lines: Sequence[Line], file: IO[str]) -> None:
    """The lines with all their digits; empty cells where undefined."""
    names = _names(lines)
    writer = csv.writer(file, lineterminator='\n')
    writer.writerow(['kind', 'run', 'measure', *names])
    for line in lines:
        values = (line.values.get(name) for name in names)
        cells = ('' if value is None else round(value, 6) for value in values)
        writer.writerow([line.kind, line.run, line.measure, *cells])


def _in_work_dir(folder: Path) -> list[Evaluation]:
    validations: list[Evaluation] = []
    for file in sorted(each for pattern in _LOGS for each in folder.glob(pattern)):
        if found := _in_log(file):
            # what a later start does again replaces what an earlier one did
            first = found[0].step or 0
            validations = [each for each in validations if (each.step or 0) < first] + found
    if validations:
        return validations
    tests = [file for file in folder.glob('*/*.json') if file.stem == file.parent.name]
    return next((found for file in sorted(tests, reverse=True) if (found := _in_log(file))), [])


def _in_log(file: Path) -> list[Evaluation]:
    found = []
    trained = None  # iterations; what counts them only logs each validation as of epoch 0
    for row in _rows(file):
        if 'loss' in row:
            trained = row.get('step')
        scores: dict[str, dict[str, float | None]] = {}
        benchmarks = set()
        for key, value in row.items():
            match = _KEY.fullmatch(key)
            if match is None or not isinstance(value, (int, float)):
                continue
            kind, name = match[1], match[2].lstrip('m').replace('_', '')
            if name in scores.setdefault(kind, {}):
                raise ValueError(
                    f'{file}: an evaluation has {kind} {name} twice ({", ".join(row)}); of '
                    'several data sets compare one'
                )
            # mmdet writes -1 for what the ground truth has no instance of
            scores[kind][name] = float(value) if value >= 0 else None
            benchmarks.add('COCO' if match[2].startswith('m') else 'LVIS')
        if scores:
            kinds: list[str] = [kind for kind in ('segm', 'bbox') if kind in scores]
            in_order = {kind: scores[kind] for kind in kinds}
            step = row.get('step') or trained
            found.append(Evaluation(benchmarks.pop(), in_order, step, f'{file}, a test'))
    return found


def _rows(file: Path) -> list[dict[str, Any]]:
    try:
        try:
            rows = [json.loads(file.read_text(encoding='utf-8'))]
        except json.JSONDecodeError:
            rows = read_rows(file)
    except ValueError as error:
        raise ValueError(
            f'{file}: no log of JSON lines ({error}); give a work dir, its '
            '<time>/vis_data/scalars.json, or the JSON of tools/test.py'
        ) from None
    return [row for row in rows if isinstance(row, dict)]


def _holds_results(file: Path) -> bool:
    with file.open('rb') as stream:
        return stream.read(64).lstrip().startswith(b'[')


def _score_results(path: Path, gt_ann: str | Path | None) -> Evaluation:
    if gt_ann is None:
        raise ValueError(f'{path}: COCO results need human masks to be scored: --gt-ann JSON')
    results = read_detections(path)
    if not results:
        raise ValueError(f'{path}: holds no detections')
    gt = read_coco(gt_ann)
    if any('neg_category_ids' in image for image in gt['images']):
        raise ValueError(
            f'{gt_ann}: LVIS counts AP otherwise than COCO; evaluate with tools/test.py and give '
            'its JSON'
        )
    kind = 'segm' if 'segmentation' in results[0] else 'bbox'
    source = f'{path} against {gt_ann}'
    if is_mixed(gt['annotations']):
        kept = human_images(gt)
        source += f', the {len(kept)} of {len(gt["images"])} images that humans have corrected'
        if not kept:
            raise ValueError(
                f'{gt_ann}: every image has a mask of a labeler; confirm whole images'
            )
        gt['images'] = [image for image in gt['images'] if image['id'] in kept]
        gt['annotations'] = [a for a in gt['annotations'] if a.get('image_id') in kept]
        results = [result for result in results if result['image_id'] in kept]
    scores = coco_ap(gt, results, str(gt_ann), (kind,))[kind]
    scores = {name: scores[name] for name in AP_NAMES}
    return Evaluation('COCO', {kind: scores}, None, source)


def _percent(scores: Scores) -> dict[str, float | None]:
    return {name: None if value is None else 100 * value for name, value in scores.items()}


def _names(lines: Sequence[Line]) -> list[str]:
    known = {name for line in lines for name in line.values}
    return [*AP_NAMES, *(name for name in LVIS_NAMES if name in known)]


def _cell(value: float | None) -> str:
    return '-' if value is None else f'{value:.1f}'
