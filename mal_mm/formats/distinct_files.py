"""Files that a tool reads and writes must not be the same ones."""

from __future__ import annotations

import itertools
import os
from collections.abc import Mapping
from pathlib import Path


class SameFileError(ValueError):
    """Something would be written over what is read, or over something else that is written."""


def check_distinct(
    inputs: Mapping[str, str | Path | None],
    outputs: Mapping[str, str | Path | None],
    overwrite: str | None = None,
) -> None:
    """Refuse outputs that are inputs, or each other; links and letter case are seen through.

    Args:
        inputs: what people call it ('--ann') -> path of a file or folder; None: not given.
        outputs: likewise. Of a folder that is written into, no file of which is an input, give
            the folder itself: it must not be an input folder.
        overwrite: the flag that allows it to write over an input; None: nothing does.

    Raises:
        SameFileError: two are the same; names both, and the flag.
    """
    read = {name: Path(path) for name, path in inputs.items() if path is not None}
    written = {name: Path(path) for name, path in outputs.items() if path is not None}
    for out_name, out in written.items():
        for name, path in read.items():
            if is_same_file(out, path):
                fix = 'choose another name' + (
                    f', or say {overwrite} if that is meant' if overwrite else ''
                )
                raise SameFileError(
                    f'{out_name} {out} is the same file as {name} {path}, which would be '
                    f'overwritten; {fix}'
                )
    check_outputs(written)


def check_outputs(outputs: Mapping[str, Path]) -> None:
    """Refuse outputs that are each other; raises SameFileError."""
    for (name, path), (other_name, other) in itertools.combinations(outputs.items(), 2):
        if is_same_file(path, other) or _differ_in_case_alone(path, other):
            raise SameFileError(
                f'{other_name} {other} is the same file as {name} {path}, and one would '
                'overwrite the other; choose another name'
            )


def is_same_file(path: Path, other: Path) -> bool:
    """Whether two paths name one file or folder, be it by links or by letter case."""
    try:
        # where letter case does not matter, the system knows
        return path.samefile(other)
    except OSError:  # one of them is not there, so that only what it will be called is known
        return os.path.realpath(path) == os.path.realpath(other)


def _differ_in_case_alone(path: Path, other: Path) -> bool:
    # of two files that are both there the system has said that they are two
    if path.exists() and other.exists():
        return False
    folded = (os.path.realpath(each).casefold() for each in (path, other))
    return next(folded) == next(folded)
