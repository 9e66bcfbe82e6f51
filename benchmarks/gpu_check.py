"""What a GPU makes of mal_mm, in one table: correctness, training, labeling, kernels, segmenters.

    python benchmarks/gpu_check.py                           # under 8 minutes on one card
    python benchmarks/gpu_check.py --only training waits     # parts, or how their names start
    python benchmarks/gpu_check.py --device cpu --size tiny  # whether the script works, no GPU

Weights are random, pictures are drawn, so that nothing is downloaded. Each part runs in a process
of its own with a time limit; one that fails (out of memory, a missing op) is a line of the table
and the others go on. The JSON file is written anew, whole, after each part.

On a machine without network, carry: this checkout; the wheels of requirements/*.txt (`pip download
--only-binary :all: -d wheels -r requirements/base.txt ...` on a machine of the same system and
Python; torch for CUDA; pytest and hypothesis for the tests); and mmcv, compiled from its source
(`pip download --no-binary mmcv --no-deps mmcv==2.1.0`, or onedl-mmcv) on any machine with nvcc of
torch's CUDA version, which takes longer than this script:

    pip install --no-index --find-links wheels torch ninja wheel 'setuptools<81'
    MMCV_WITH_OPS=1 FORCE_CUDA=1 TORCH_CUDA_ARCH_LIST=9.0 MAX_JOBS=16 \\
        pip wheel --no-index --no-deps --no-build-isolation -w wheels mmcv-2.1.0.tar.gz

9.0 is H100 and H200. Goals are those for one H200 at full size.
"""

from __future__ import annotations

import os

# asks the driver, not CUDA, whether there is a card: CUDA must not start before the parts fork
os.environ.setdefault('PYTORCH_NVML_BASED_CUDA_CHECK', '1')

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import common
from gpu_parts import (
    SIZES,
    Row,
    Size,
    kernels,
    labeling,
    machine,
    marked_tests,
    segmenters,
    training,
)
from gpu_parts.isolation import Outcome, run_apart

from mal_mm.formats.atomic import atomic_write

Part = Callable[[str, Size], list[Row]]

# name: (what measures it, seconds that it may take)
PARTS: dict[str, tuple[Part, float]] = {
    'tests': (marked_tests.measure, 90),
    'mean_field': (kernels.mean_field, 60),
    'training_bf16': (training.bf16, 75),
    'training_fp16': (training.fp16, 75),
    'waits': (training.waits, 60),
    'labeling': (labeling.trained, 90),
    'instant': (labeling.instant, 120),
    'mask2former': (segmenters.mask2former, 60),
    'maskdino': (segmenters.maskdino, 60),
}


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = common.make_parser(__doc__)
    parser.add_argument('--device', default='cuda', help='cuda, cuda:1, cpu (default: cuda)')
    parser.add_argument('--size', choices=list(SIZES), default='full', help='(default: full)')
    parser.add_argument(
        '--only',
        nargs='+',
        default=[''],
        metavar='PART',
        help=f'of {", ".join(PARTS)}, or the start of a name (default: all)',
    )
    parser.add_argument(
        '--limit', type=float, default=460, help='seconds for all together (default: 460)'
    )
    parser.add_argument(
        '--out', type=Path, default=Path('gpu_check.json'), help='(default: gpu_check.json)'
    )
    args = parser.parse_args(argv)
    for name in args.only:
        if not any(part.startswith(name) for part in PARTS):
            parser.error(f'--only {name}: there is no such part; there are {", ".join(PARTS)}')
    return args


def main(argv: list[str] | None = None) -> int:
    """The table, the file; 1 where a part did not end well."""
    args = parse_args(argv)
    size = SIZES[args.size]
    judged = args.device.startswith('cuda') and not size.tiny
    chosen = {n: part for n, part in PARTS.items() if n.startswith(tuple(args.only))}
    report: dict[str, Any] = dict(
        started=time.strftime('%Y-%m-%dT%H:%M:%S%z'), device=args.device, size=args.size, parts={}
    )
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as scratch:
        for name, (work, limit) in {'machine': (machine.measure, 30), **chosen}.items():
            left = args.limit - (time.monotonic() - start)
            if left > 1:
                outcome = run_apart(
                    lambda work=work: [asdict(row) for row in work(args.device, size)],
                    min(limit, left),
                    Path(scratch),
                )
            else:
                outcome = Outcome('not begun', 0, error=f'--limit {args.limit:.0f} s is over')
            rows = [Row(**{**row, 'goal': _goal(row)}) for row in outcome.value or []]
            for line in table_lines(name, outcome, rows, judged):
                print(line, flush=True)
            report['parts'][name] = {**asdict(outcome), 'value': outcome.value or []}
            report['seconds'] = round(time.monotonic() - start, 1)
            with atomic_write(args.out) as file:
                json.dump(report, file, indent=2)
    print(f'{report["seconds"]:.0f} s together; all of it, with the logs of the parts: {args.out}')
    return int(any(part['status'] != 'ok' for part in report['parts'].values()))


def _goal(row: dict[str, Any]) -> tuple[str, float] | None:
    return tuple(row['goal']) if row['goal'] else None


def table_lines(name: str, outcome: Outcome, rows: list[Row], judged: bool) -> list[str]:
    """Lines of the table for one part."""
    head = f'{name:<14} '
    if outcome.status != 'ok':
        return [f'{head}{outcome.status.upper()}: {outcome.error}']
    lines = []
    for row in rows:
        value = '' if row.value is None else f'{row.value:,.5g} {row.unit}'
        goal = f'{row.goal[0]} {row.goal[1]:g}' if row.goal else ''
        verdict = row.verdict() if judged else ''
        line = f'{head}{row.what:<46} {value:>18}  {goal:<8} {verdict:<7} {row.note}'
        lines.append(line.rstrip())
        head = ' ' * 15
    return lines


if __name__ == '__main__':
    sys.exit(main())
