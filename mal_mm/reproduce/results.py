"""What has been run of a table of the paper, beside the paper's figures."""

from __future__ import annotations

import json
from pathlib import Path

from mal_mm.evaluation.average_precision import AP_NAMES
from mal_mm.evaluation.retention import (
    Evaluation,
    NoEvaluationError,
    read_evaluation,
    retention,
)
from mal_mm.evaluation.run_log import read_rows

from .paper_figures import figure
from .runs import Row, Run
from .script import CLUSTERING
from .tables import BOX_TABLES, ENCODERS, paper_columns, paper_only, table_rows

Entry = dict[str, 'str | float | None']


def collect(table: str, work_dirs: str | Path, best: bool = False) -> list[Entry]:
    """What has been run of a table, beside the paper's figures.

    Args:
        table: a key of TITLES.
        work_dirs: folder of the work dirs, named as in `commands`.
        best: the validation of the highest mask AP instead of the last.

    Returns:
        One dict for each training: `row`, `masks` (what it was trained on), `done` (such as
        '12/36 epochs'), `hours`, the APs in % of what the table is about, `kept` (of AP, %), and
        the paper's figures; None where unknown. Rows that the paper alone has are 'paper only'.
        Of Table 6: `encoder`, `score`, `standard error`, `crops`, `paper score`.

    Raises:
        ValueError: a log or a score cannot be read.
    """
    if table == '6':
        return [_clustering_entry(name, Path(work_dirs)) for name in ENCODERS]
    kind = 'bbox' if table in BOX_TABLES else 'segm'
    columns = paper_columns(table)
    entries = [
        entry | {column: run.paper.get(column) for column in columns}
        for row in table_rows(table)
        for run, entry in zip(row.runs, _entries(row, kind, Path(work_dirs), best), strict=True)
    ]
    for name, supervision, figures in paper_only(table):
        known = {'row': name, 'masks': supervision, 'done': 'paper only', **figures}
        entries.append({column: known.get(column) for column in entries[0]})
    return entries


def training_hours(work_dir: str | Path) -> float | None:
    """How long a training has taken so far, without validation; None where no log says it."""
    times: dict[int, float] = {}  # iteration -> mean seconds of those since the last one logged
    for file in sorted(Path(work_dir).glob('*/vis_data/scalars.json')):
        rows = [row for row in read_rows(file) if 'iter' in row and 'time' in row]
        if rows:  # a later start replaces what it does again
            times = {each: times[each] for each in times if each < rows[0]['iter']}
        times.update((row['iter'], row['time']) for row in rows)
    if not times:
        return None
    spans = zip(times, [0, *times], strict=False)
    return sum((now - before) * times[now] for now, before in spans) / 3600


def _entries(row: Row, kind: str, work_dirs: Path, best: bool) -> list[Entry]:
    found = {run.name: _find(work_dirs / run.name, best) for run in row.runs}
    scores = {
        name: evaluation.scores.get(kind, {}) if evaluation else {}
        for name, evaluation in found.items()
    }
    human = row.run('human')
    return [
        {
            'row': row.name,
            'masks': run.masks,
            'done': _progress(run, found[run.name]),
            'hours': training_hours(work_dirs / run.name),
            **{name: _percent(scores[run.name].get(name)) for name in AP_NAMES},
            'kept': None
            if run is human
            else retention(scores[run.name], scores[human.name]).get('AP'),
        }
        for run in row.runs
    ]


def _clustering_entry(name: str, work_dirs: Path) -> Entry:
    file = work_dirs / CLUSTERING / f'{ENCODERS[name]}.json'
    result = {}
    if file.is_file():
        try:
            result = json.loads(file.read_text(encoding='utf-8'))
            result['clustering_score']
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(
                f'{file}: not what tools/clustering_score.py --out writes ({error!r}); make it '
                'again'
            ) from None
    return {
        'encoder': name,
        'score': result.get('clustering_score'),
        'standard error': result.get('standard_error'),
        'crops': None if not result else str(result['scored']),
        'paper score': figure('MAL', '6', name, 'Score'),
    }


def _find(work_dir: Path, best: bool) -> Evaluation | None:
    try:
        return read_evaluation(work_dir, best)
    except (FileNotFoundError, NoEvaluationError):
        return None


def _progress(run: Run, found: Evaluation | None) -> str:
    done = '-' if found is None else 'tested' if found.step is None else found.step
    return f'{done}/{run.length} {run.unit}'


def _percent(value: float | None) -> float | None:
    return None if value is None else 100 * value
