"""How a tool ends when something is wrong: one sentence and a status, no traceback."""

from __future__ import annotations

import os
import re
import sys
from typing import NoReturn

DEBUG_VARIABLE = 'MAL_DEBUG'
INTERRUPTED = 130


def report(name: str, error: BaseException, status: int = 1, interrupted: str = '') -> int:
    """Say on stderr why a tool ends, to be called where its `main` has caught something.

    What people are expected to meet (ValueError, OSError and our own errors) is said as it is,
    anything else with its kind. With MAL_DEBUG=1 in the environment the error goes on instead.

    Args:
        name: of the tool, as its messages begin.
        error: what was caught; KeyboardInterrupt too.
        status: exit status of an error.
        interrupted: what to say after Ctrl-C, such as how to go on.

    Returns:
        The exit status.
    """
    if os.environ.get(DEBUG_VARIABLE):
        raise error
    if isinstance(error, KeyboardInterrupt):
        print('\ninterrupted' + (f'; {interrupted}' if interrupted else ''), file=sys.stderr)
        return INTERRUPTED
    print(f'{name}: {sentence(error)}', file=sys.stderr)
    return status


def leave(name: str, error: BaseException, interrupted: str = '') -> NoReturn:
    """`report`, and end the process at once with status 1, or 130 after Ctrl-C."""
    if os.environ.get(DEBUG_VARIABLE):
        raise error
    if isinstance(error, KeyboardInterrupt):
        raise SystemExit(report(name, error, interrupted=interrupted)) from None
    raise SystemExit(f'{name}: {sentence(error)}') from None


def sentence(error: BaseException) -> str:
    """An error in a line, at most a few hundred letters."""
    text = str(error).strip()
    worker = re.match(r'Caught (\w+) in DataLoader worker process', text)
    kind = type(error).__name__
    if worker:  # the traceback of the worker follows, and its message last
        kind = worker[1]
        text = text.splitlines()[-1].removeprefix(f'{kind}: ')
        text = re.sub(r'^[\w.]+(Error|Exception): ', '', text)
    expected = isinstance(error, (ValueError, OSError)) or _is_ours(error)
    if not expected and not worker:
        text = _first_line(text)
    text = ' '.join(line.strip() for line in text.splitlines())
    if len(text) > 1500:
        text = f'{text[:1000]} ... {text[-300:]}'
    if expected or worker:
        return text or kind
    return (
        f'{kind}: {text} ({DEBUG_VARIABLE}=1 shows where)'
        if text
        else (f'{kind} ({DEBUG_VARIABLE}=1 shows where)')
    )


def _is_ours(error: BaseException) -> bool:
    return type(error).__module__.split('.')[0] == 'mal_mm'


def _first_line(text: str) -> str:
    return (text.splitlines() or [''])[0]
