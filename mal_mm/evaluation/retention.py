"""Retention rate: what a segmenter keeps of its AP when pseudo-masks replace human ones."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from .average_precision import AP_NAMES
from .result_scores import ULTRALYTICS_RESULTS, score_results
from .run_scores import Evaluation, Scores, read_log

LVIS_NAMES = ('APr', 'APc', 'APf')  # rare, common, frequent classes
_LOGS = ('vis_data/scalars.json', '*/vis_data/scalars.json')
# of Ultralytics and Detectron2, in the folder of a run
_OTHER_LOGS = ('results.csv', 'metrics.json')
_OTHER_RESULTS = (ULTRALYTICS_RESULTS, 'inference/coco_instances_results.json')


class NoEvaluationError(ValueError):
    """A run that has not been evaluated; says where one was looked for."""


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
    """Find a run's AP in what MMDetection, Detectron2 or Ultralytics has written.

    Args:
        path: a work dir: of its training, all starts of it, the last validation; of a work dir
            that was only tested in, the newest test. Or a file: scalars.json or another log of
            JSON lines, the JSON of a test, metrics.json (Detectron2), results.csv (Ultralytics),
            COCO results (`*.segm.json`, `*.bbox.json`, coco_instances_results.json,
            predictions.json). Of a folder, results are looked at where no log has an evaluation.
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
        return score_results(path, gt_ann)
    else:
        found = read_log(path)
    if not found and gt_ann is not None:
        for name in _OTHER_RESULTS:
            if (path / name).is_file():
                return score_results(path / name, gt_ann)
    if not found:
        raise NoEvaluationError(
            f'{path}: no evaluation found, that is nothing like coco/segm_mAP or lvis/segm_AP; '
            'give the work dir of a training with validation, its scalars.json, the JSON of '
            'tools/test.py, results.csv of Ultralytics, metrics.json of Detectron2, or COCO '
            'results with --gt-ann'
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
    for name in _OTHER_LOGS:
        if (folder / name).is_file():
            return read_log(folder / name)
    validations: list[Evaluation] = []
    for file in sorted(each for pattern in _LOGS for each in folder.glob(pattern)):
        if found := read_log(file):
            # what a later start does again replaces what an earlier one did
            first = found[0].step or 0
            validations = [each for each in validations if (each.step or 0) < first] + found
    if validations:
        return validations
    tests = [file for file in folder.glob('*/*.json') if file.stem == file.parent.name]
    return next((found for file in sorted(tests, reverse=True) if (found := read_log(file))), [])


def _holds_results(file: Path) -> bool:
    with file.open('rb') as stream:
        return stream.read(64).lstrip().startswith(b'[')


def _percent(scores: Scores) -> dict[str, float | None]:
    return {name: None if value is None else 100 * value for name, value in scores.items()}


def _names(lines: Sequence[Line]) -> list[str]:
    known = {name for line in lines for name in line.values}
    return [*AP_NAMES, *(name for name in LVIS_NAMES if name in known)]


def _cell(value: float | None) -> str:
    return '-' if value is None else f'{value:.1f}'
