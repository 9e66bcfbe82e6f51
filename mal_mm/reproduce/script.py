"""A table of the paper as a shell script: the commands that make it."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from .paper_figures import figure
from .runs import DATA, Labeler, MaskFile, Row, Run
from .tables import ENCODERS, LABELER_TABLES, TITLES, table_rows

GPUS = 8  # x 2 images, in all of these recipes; a labeler has 8 x 4 crops
CLUSTERING = 'clustering'  # folder of Table 6's scores, below the work dirs


def commands(
    table: str,
    labeler: str | None = None,
    gpus: int = GPUS,
    work_dirs: str | Path = 'work_dirs',
) -> Iterator[str]:
    """A shell script that makes a table, command by command.

    Args:
        table: a key of TITLES.
        labeler: config of phase 1, in the place of the tables' own; None: theirs, that is, each
            data set is labelled by a labeler of its own boxes.
        gpus: of the machine; where they are not 8, the learning rates are scaled.
        work_dirs: folder of all work dirs.

    Raises:
        ValueError: another labeler for a table that compares labelers.
    """
    yield f'#!/usr/bin/env bash\n# {TITLES[table]}'
    if labeler is not None and table in (*LABELER_TABLES, '6'):
        raise ValueError(f'table {table} compares labelers; --labeler would make them all one')
    if table == '6':
        yield from _clustering_commands(work_dirs)
    else:
        rows = table_rows(table)
        if labeler is not None:
            rows = tuple(_labelled_by(Labeler.of(labeler), row) for row in rows)
        yield from _training_commands(rows, gpus, work_dirs)
    yield f'\n# all of it\npython tools/reproduce_table.py {table} --work-dirs {work_dirs}'


def _training_commands(rows: tuple[Row, ...], gpus: int, work_dirs: str | Path) -> Iterator[str]:
    runs = _once(run for row in rows for run in row.runs)
    mask_files = _once(run.mask_file for run in runs if run.mask_file)
    labelers = _once(each.labeler for each in mask_files)
    scale = '' if gpus == GPUS else ' --auto-scale-lr'
    plural = 's' * (len(labelers) > 1)
    hours = {name: figure('MAL', 'Sec. 4.2', f'hours on {name}') for name in ('COCO', 'LVIS')}
    yield (
        f'# {len(labelers)} labeler{plural} and {len(runs)} trainings, each on {gpus} '
        f'GPU{"s" * (gpus > 1)}. In the paper a ViT-B labeler takes around\n'
        f'# {hours["COCO"]} hours on COCO and {hours["LVIS"]} on LVIS, on 8 V100; of phase 2 it '
        'gives no hours. A log says how many\n'
        '# are left, and --work-dirs how many a finished training took.\n'
        'set -euo pipefail'
    )
    yield '\n# phase 1: learn masks from boxes, then draw them'
    for labeler in labelers:
        yield (
            f'bash tools/dist_train.sh {labeler.config} {gpus} \\\n'
            f'    --work-dir {work_dirs}/{labeler.name}{scale}{_options(labeler.options)}'
        )
    for mask_file in mask_files:
        yield _labeling_command(mask_file, gpus, work_dirs)
    for row in rows:
        yield f'\n# {row.name}'
        for run in _once(row.runs):
            yield (
                f'# {run.masks}: {run.length} {run.unit}{_paper(run)}\n'
                f'bash tools/dist_train.sh {run.config} {gpus} \\\n'
                f'    --work-dir {work_dirs}/{run.name}{scale}{_options(run.options)}'
            )
        yield _retention_command(row, work_dirs)


def _labeling_command(mask_file: MaskFile, gpus: int, work_dirs: str | Path) -> str:
    data, labeler = DATA[mask_file.data], mask_file.labeler
    return (
        f'torchrun --nproc_per_node {gpus} tools/generate_pseudo_masks.py {labeler.config} \\\n'
        f'    $(cat {work_dirs}/{labeler.name}/last_checkpoint) --img-root {data.images} \\\n'
        f'    --ann {data.root}/{data.train} \\\n'
        f'    --out {data.root}/{mask_file.path} --launcher pytorch \\\n'
        '    || [ $? = 3 ]  # 3: done, but for boxes that cannot be labelled'
    )


def _retention_command(row: Row, work_dirs: str | Path) -> str:
    runs = _once(row.runs)
    human = row.run('human')
    # retention.py calls its second run MAL: the usual labeler's
    usual = next(run for run in runs if run.mask_file and not run.mask_file.tag)
    others = ''.join(
        f' \\\n    {shlex.quote(f"{run.masks}={work_dirs}/{run.name}")}'
        for run in runs
        if run not in (human, usual)
    )
    paper = f' \\\n    --paper {row.name}' if usual.paper and usual.masks == 'MAL' else ''
    return (
        f'python tools/retention.py {work_dirs}/{human.name} \\\n'
        f'    {work_dirs}/{usual.name}{others}{paper}'
    )


def _clustering_commands(work_dirs: str | Path) -> Iterator[str]:
    yield '# nothing is trained: the encoders have the public weights that a labeler starts from'
    yield f'set -euo pipefail\nmkdir -p {work_dirs}/{CLUSTERING}'
    data = DATA['COCO']
    for name, config in ENCODERS.items():
        yield (
            f'# {name}: in the paper {figure("MAL", "6", name, "Score")}\n'
            f'python tools/clustering_score.py configs/mal/{config}.py \\\n'
            f'    --ann {data.root}/annotations/instances_val2017.json \\\n'
            f'    --img-root {data.root}/val2017 --out {work_dirs}/{CLUSTERING}/{config}.json'
        )


def _labelled_by(labeler: Labeler, row: Row) -> Row:
    """The row with another labeler; what the paper compares with it stays."""
    return replace(
        row,
        runs=tuple(
            replace(run, mask_file=replace(run.mask_file, labeler=labeler))
            if run.mask_file and not run.mask_file.tag
            else run
            for run in row.runs
        ),
    )


def _options(options: Iterable[str]) -> str:
    texts = ' '.join(map(shlex.quote, options))
    return f' \\\n    --cfg-options {texts}' if texts else ''


def _paper(run: Run) -> str:
    known = [
        f'{name.removeprefix("paper ")} {value}'
        for name, value in run.paper.items()
        if value is not None
    ]
    return f'; in the paper {", ".join(known)}' if known else ''


def _once(items: Iterable) -> list:
    return list(dict.fromkeys(items))
