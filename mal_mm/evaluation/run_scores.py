"""What programs log of their evaluations: MMDetection, Detectron2 and Ultralytics.

| program     | file                    | an evaluation is                                        |
|-------------|-------------------------|---------------------------------------------------------|
| MMDetection | scalars.json, TIME.json | a line of JSON, `coco/segm_mAP_50`, `lvis/segm_AP50`    |
| Detectron2  | metrics.json            | a line of JSON, `segm/AP50`, `DATASET/segm/AP50`, in %  |
| Ultralytics | results.csv             | a row, `metrics/mAP50(M)`, `metrics/mAP50-95(M)`        |

Source of the last two: detectron2's JSONWriter, COCOEvaluator and LVISEvaluator; ultralytics'
trainer and SegmentationValidator.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .run_log import read_rows

# coco/segm_mAP_50, as CocoMetric names it, lvis/segm_AP50, as LVISMetric does, segm/AP50
_KEY = re.compile(r'(?:.*/)?(segm|bbox)([_/])(m?AP(?:_?(?:50|75|[smlrcf]))?)')
_CSV_KEY = re.compile(r'metrics/mAP(50|50-95)\(([BM])\)')
_CSV_KINDS = {'M': 'segm', 'B': 'bbox'}
_CSV_NAMES = {'50': 'AP50', '50-95': 'AP'}

Scores = Mapping[str, 'float | None']


@dataclass(frozen=True)
class Evaluation:
    """One evaluation of one run.

    Attributes:
        benchmark: 'COCO', 'LVIS' or 'Ultralytics', whose rules AP was counted by.
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


def read_log(file: Path) -> list[Evaluation]:
    """All evaluations in a log, in its order.

    Raises:
        ValueError: it is no log, or holds those of several data sets.
    """
    return _from_csv(file) if file.suffix == '.csv' else _from_json(file)


def _from_json(file: Path) -> list[Evaluation]:
    found: list[Evaluation] = []
    trained = None  # iterations; what counts them only logs each validation as of epoch 0
    for row in _rows(file):
        if 'loss' in row:
            trained = row.get('step')
        scores: dict[str, dict[str, float | None]] = {}
        names = set()
        for key, value in row.items():
            match = _KEY.fullmatch(key)
            if match is None or not isinstance(value, (int, float)):
                continue
            kind, name = match[1], match[3].lstrip('m').replace('_', '')
            if name in scores.setdefault(kind, {}):
                raise ValueError(
                    f'{file}: an evaluation has {kind} {name} twice ({", ".join(row)}); of '
                    'several data sets compare one'
                )
            # -1 or NaN for what the ground truth has no instance of
            scores[kind][name] = _share(value, in_percent=match[2] == '/')
            names.add(match[2] + match[3])
        if scores:
            step = row.get('step') or trained
            if 'iteration' in row:  # Detectron2: a resumed run goes on in the same file
                step = row['iteration']
                found = [each for each in found if (each.step or 0) < step]
            found.append(Evaluation(_benchmark(names), _in_order(scores), step, f'{file}, a test'))
    return found


def _share(value: float, in_percent: bool) -> float | None:
    if not value >= 0:
        return None
    return value / 100 if in_percent else float(value)


def _benchmark(names: set[str]) -> str:
    if any(name.startswith('_m') for name in names):
        return 'COCO'
    # Detectron2 calls AP the same in both, but only LVIS has rare classes
    return 'COCO' if any('/' in name for name in names) and '/APr' not in names else 'LVIS'


def _in_order(scores: Mapping[str, dict[str, float | None]]) -> dict[str, Scores]:
    return {kind: scores[kind] for kind in ('segm', 'bbox') if kind in scores}


def _from_csv(file: Path) -> list[Evaluation]:
    """Each epoch of an Ultralytics training; one that a resumed run did again counts once."""
    found: list[Evaluation] = []
    with file.open(encoding='utf-8', newline='') as stream:
        rows = list(csv.DictReader(stream))
    for number, row in enumerate(rows, start=2):
        # older versions pad the names and values with blanks
        values = {key.strip(): value for key, value in row.items() if key}
        scores: dict[str, dict[str, float | None]] = {}
        try:
            for key, value in values.items():
                if match := _CSV_KEY.fullmatch(key):
                    kind, name = _CSV_KINDS[match[2]], _CSV_NAMES[match[1]]
                    scores.setdefault(kind, {})[name] = _share(float(value), in_percent=False)
            step = int(float(values['epoch'])) if scores else 0
        except (KeyError, TypeError, ValueError) as error:
            if number == len(rows) + 1:  # the run may just be writing it
                break
            raise ValueError(
                f'{file}: line {number} is no row of an Ultralytics results.csv ({error!r})'
            ) from None
        if scores:
            found = [each for each in found if (each.step or 0) < step]
            found.append(
                Evaluation('Ultralytics', _in_order(scores), step, f'{file}, epoch {step}')
            )
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
            '<time>/vis_data/scalars.json, the JSON of tools/test.py, or metrics.json of '
            'Detectron2'
        ) from None
    return [row for row in rows if isinstance(row, dict)]
