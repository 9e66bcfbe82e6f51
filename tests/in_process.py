"""A command of `mal-mm` in the test's own process; another one would import for seconds."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from unittest import mock

from mal_mm_cli.main import main


class Done(NamedTuple):
    """What a process would have left: exit status and what it said."""

    returncode: int
    stdout: str
    stderr: str


@contextlib.contextmanager
def _inside(folder: Path) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def call(command: str, *arguments: object, cwd: Path | None = None, **environment: str) -> Done:
    """Run `mal-mm COMMAND ARGUMENTS` in a folder, with changes to the environment."""
    words = [*command.split(), *map(str, arguments)]
    said, complained = io.StringIO(), io.StringIO()
    with (
        _inside(cwd or Path.cwd()),
        mock.patch.dict('os.environ', environment),
        contextlib.redirect_stdout(said),
        contextlib.redirect_stderr(complained),
    ):
        try:
            status = main(words)
        except SystemExit as end:
            status = end.code
    return Done(status, said.getvalue(), complained.getvalue())
