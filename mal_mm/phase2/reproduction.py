"""A table of the paper: the commands that make it, and what has been run of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from mal_mm.evaluation.average_precision import AP_NAMES
from mal_mm.evaluation.retention import (
    Evaluation,
    NoEvaluationError,
    read_evaluation,
    retention,
)
from mal_mm.evaluation.run_log import read_rows

from .paper_tables import DATA, TITLES, PaperFigures, Row, Training, table_rows

GPUS = 8  # x 2 images, in all of these recipes; a labeler has 8 x 4 crops


def commands(
    table: str,
    labeler: str = 'configs/mal/vit_mae_base.py',
    gpus: int = GPUS,
    work_dirs: str | Path = 'work_dirs',
) -> Iterator[str]:
    """A shell script that makes a table, command by command.

    Args:
        table: a key of TITLES.
        labeler: config of phase 1.
        gpus: of the machine; where they are not 8, the learning rates are scaled.
        work_dirs: folder of all work dirs.
    """
    rows = table_rows(table)
    data = DATA[rows[0].data]
    scale = '' if gpus == GPUS else ' --auto-scale-lr'
    labeler_dir = f'{work_dirs}/{Path(labeler).stem}'
    yield f'#!/usr/bin/env bash\n# {TITLES[table]}'
    yield (
        f'# A labeler and {sum(len(row.trainings) for row in rows)} trainings, each on {gpus} '
        f'GPU{"s" * (gpus > 1)}. The hours are not published;\n'
        '# a log says how many are left, and --work-dirs how many a finished training took.\n'
        'set -euo pipefail'
    )
    yield '\n# phase 1: learn masks from boxes, then draw them'
    yield f'bash tools/dist_train.sh {labeler} {gpus} --work-dir {labeler_dir}{scale}'
    yield (
        f'torchrun --nproc_per_node {gpus} tools/generate_pseudo_masks.py {labeler} \\\n'
        f'    $(cat {labeler_dir}/last_checkpoint) --img-root {data.images} \\\n'
        f'    --ann {data.root}/{data.train} \\\n'
        f'    --out {data.root}/{data.labelled} --launcher pytorch \\\n'
        '    || [ $? = 3 ]  # 3: done, but for boxes that cannot be labelled'
    )
    for row in rows:
        yield f'\n# {row.name}: {_known(row.paper)}'
        for training in row.trainings:
            yield (
                f'# {training.supervision}: {training.length} {training.unit}\n'
                f'bash tools/dist_train.sh {training.config} {gpus} \\\n'
                f'    --work-dir {work_dirs}/{training.name}{scale}{training.options}'
            )
        yield _retention_command(row, work_dirs)
    yield f'\n# all of it\npython tools/reproduce_table.py {table} --work-dirs {work_dirs}'


def collect(
    table: str, work_dirs: str | Path, best: bool = False
) -> list[dict[str, str | float | None]]:
    """What has been run of a table, beside the paper's figures.

    Args:
        table: a key of TITLES.
        work_dirs: folder of the work dirs, named as in `commands`.
        best: the validation of the highest mask AP instead of the last.

    Returns:
        One dict for each training: `row`, `masks` (the supervision), `done` (such as
        '12/36 epochs'), `hours`, the APs in % of what the table is about, `kept` (of AP, %),
        `paper AP` and `paper kept`; None where unknown.

    Raises:
        ValueError: a log cannot be read.
    """
    kind = 'bbox' if table == '7' else 'segm'
    entries = []
    for row in table_rows(table):
        found = {each: _find(Path(work_dirs, each.name), best) for each in row.trainings}
        scores = {each: run.scores.get(kind, {}) if run else {} for each, run in found.items()}
        human = row.training('human')
        for training, run in found.items():
            figures = row.paper if kind == 'segm' else PaperFigures()
            is_mal = training.supervision == 'MAL'
            entries.append(
                {
                    'row': row.name,
                    'masks': training.supervision,
                    'done': _progress(training, run),
                    'hours': training_hours(Path(work_dirs, training.name)),
                    **{name: _percent(scores[training].get(name)) for name in AP_NAMES},
                    'kept': None
                    if training is human
                    else retention(scores[training], scores[human]).get('AP'),
                    'paper AP': {'human': figures.gt, 'MAL': figures.mal}.get(
                        training.supervision
                    ),
                    'paper kept': figures.kept if is_mal else None,
                }
            )
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


def _retention_command(row: Row, work_dirs: str | Path) -> str:
    folders = {each.supervision: f'{work_dirs}/{each.name}' for each in row.trainings}
    gt, mal = folders.pop('human'), folders.pop('MAL')
    others = ''.join(f' {name}={folder}' for name, folder in folders.items())
    return f'python tools/retention.py {gt} \\\n    {mal}{others} --paper {row.name}'


def _find(work_dir: Path, best: bool) -> Evaluation | None:
    try:
        return read_evaluation(work_dir, best)
    except (FileNotFoundError, NoEvaluationError):
        return None


def _progress(training: Training, run: Evaluation | None) -> str:
    done = '-' if run is None else 'tested' if run.step is None else run.step
    return f'{done}/{training.length} {training.unit}'


def _known(figures: PaperFigures) -> str:
    known = {'GT': figures.gt, 'MAL': figures.mal, 'MAL / GT, %:': figures.kept}
    texts = [f'{name} {value}' for name, value in known.items() if value is not None]
    texts += [figures.remark] * bool(figures.remark)
    return f'in the paper {", ".join(texts)}' if texts else 'its figures are not known here'


def _percent(value: float | None) -> float | None:
    return None if value is None else 100 * value
