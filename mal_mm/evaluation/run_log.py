"""What mmengine's LocalVisBackend has logged of a run: scores, losses, times."""

from __future__ import annotations

import json
from pathlib import Path

Curve = dict[int, float]  # iteration -> value

_SCALARS = '*/vis_data/scalars.json'


def read_curves(work_dir: str | Path) -> dict[str, Curve]:
    """Read a run, resumed or not.

    Each start of a run logs into a folder of its own, named by the time. What a later one logs
    replaces everything from its first iteration on, since that is what it resumed before.

    Args:
        work_dir: folder with <time>/vis_data/scalars.json.

    Returns:
        Key -> {iteration: value}, ascending. A validation score, which mmengine logs by epoch,
        is put at the last training iteration logged before it.

    Raises:
        ValueError: the folder has no scalars, or a line of them cannot be read.
    """
    files = sorted(Path(work_dir).glob(_SCALARS))
    curves: dict[str, Curve] = {}
    for file in files:
        rows = read_rows(file)
        first = next((row['step'] for row in rows if 'iter' in row), None)
        if first is not None:
            for key, curve in curves.items():
                curves[key] = {step: curve[step] for step in curve if step < first}
        for row in rows:
            # a row of training has `iter`, one of validation has not
            step = row['step'] if 'iter' in row else max(curves.get('iter', {}), default=0)
            for key, value in row.items():
                if isinstance(value, (int, float)):
                    curves.setdefault(key, {})[step] = float(value)
    if not curves:
        raise ValueError(
            f'{work_dir}: no scalars found (looked for {Path(work_dir) / _SCALARS}); give the '
            'work dir of a run that has logged with LocalVisBackend'
        )
    return {key: dict(sorted(curve.items())) for key, curve in curves.items() if curve}


def read_rows(file: Path) -> list[dict]:
    """What mmengine has logged, one object a line; a last line that is cut is left out.

    Raises:
        ValueError: another line is not JSON.
    """
    lines = file.read_text(encoding='utf-8').splitlines()
    rows = []
    for number, line in enumerate(lines, start=1):
        try:
            rows.append(json.loads(line))
        except ValueError as error:
            if number < len(lines):  # the last line may be cut: the run may just be writing it
                raise ValueError(f'{file}: line {number} is not JSON ({error})') from None
    return rows
