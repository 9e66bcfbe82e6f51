"""A table of the paper (arXiv 2301.03992): the commands that make it, or what has been run of it.

TABLE is 1 (COCO), 2 (LVIS), 3 (decoders), 4 (encoders), 5 (theta), 6 (clustering scores), 7 (what
masks do for detection) or fig8 (loss weights, zeta, omega). Ours, beside them: 2-dcn (Table 2's
ResNets as it names them), 7-r50 (a smaller Table 7) and baselines (BoxInst, CondInst).
Without --work-dirs it prints a shell script: the labelers, their masks, each segmenter on human
and on MAL's masks, and the retention rates. With it, the logs in those work dirs become the table,
with the paper's figures beside them. '-' is what has not been run, or is not in the paper.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

TABLES = ('1', '2', '2-dcn', '3', '4', '5', '6', '7', '7-r50', 'fig8', 'baselines')
EXAMPLES = """examples:
  mal-mm reproduce table 1 > table1.sh
  mal-mm reproduce table 2 --gpus 4 --labeler configs/mal/dinov2_base.py
  mal-mm reproduce table 1 --work-dirs work_dirs --out table1.csv

exit status: 0 done, 1 refused (the reason is on stderr), 2 wrong arguments
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Its options."""
    parser.add_argument('table', metavar='TABLE', choices=TABLES)
    parser.add_argument(
        '--labeler',
        metavar='CONFIG',
        help='of phase 1 (default: configs/mal/vit_mae_base.py for COCO, vit_mae_base_lvis.py for '
        'LVIS)',
    )
    parser.add_argument('--gpus', type=int, default=8, help='of the machine (default: 8)')
    parser.add_argument(
        '--work-dirs', type=Path, metavar='DIR', help='collect what has been run in this folder'
    )
    parser.add_argument(
        '--best',
        action='store_true',
        help='of each run the validation of the highest mask AP, not the last',
    )
    parser.add_argument(
        '--out', type=Path, metavar='FILE', help='write the table here: .md or .csv'
    )


def check(args: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    """Arguments that do not go together."""
    if args.gpus < 1:
        parser.error(f'--gpus must be at least 1, got {args.gpus}')
    if args.out is not None and (args.work_dirs is None or args.out.suffix not in ('.md', '.csv')):
        parser.error('--out FILE.md or FILE.csv goes with --work-dirs')


def run(args: argparse.Namespace) -> int:
    """Do what the command line says.

    Raises:
        ValueError: a log cannot be read.
        OSError: the work dirs do not exist, or the output cannot be written.
    """
    from mal_mm.reproduce.results import collect
    from mal_mm.reproduce.script import commands
    from mal_mm.reproduce.tables import NOTES, TITLES

    if args.work_dirs is None:
        print('\n'.join(commands(args.table, args.labeler, args.gpus)))
        return 0
    if not args.work_dirs.is_dir():
        raise FileNotFoundError(f'--work-dirs {args.work_dirs} is no folder')
    entries = collect(args.table, args.work_dirs, args.best)
    table = markdown(entries, decimals=3 if args.table == '6' else 1)
    unit = '' if args.table == '6' else ', %'
    print(f'{TITLES[args.table]}{unit}\n\n{table}')
    if args.table in NOTES:
        print(f'\n{NOTES[args.table]}')
    if args.out:
        write(entries, table, args.out)
    return 0


def markdown(entries: Sequence[Mapping], decimals: int = 1) -> str:
    """The table, '-' where a cell is None."""

    def cell(value: object) -> str:
        if value is None or isinstance(value, str):
            return value or '-'
        return f'{value:.{decimals}f}'

    rows = [list(entries[0]), *([cell(value) for value in each.values()] for each in entries)]
    rows.insert(1, ['---' for _ in rows[0]])
    return '\n'.join(f'| {" | ".join(row)} |' for row in rows)


def write(entries: Sequence[Mapping], table: str, path: Path) -> None:
    """As markdown or, with all digits, as CSV."""
    import csv

    from mal_mm.formats import atomic_write

    with atomic_write(path) as file:
        if path.suffix == '.md':
            file.write(f'{table}\n')
            return
        writer = csv.DictWriter(file, list(entries[0]), lineterminator='\n')
        writer.writeheader()
        writer.writerows(entries)
