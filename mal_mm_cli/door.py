"""The one way into every command: arguments, quiet, one-sentence errors, exit status."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import warnings
from collections.abc import Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from .errors import report

# set by --verbose, for the processes that a command starts too
VERBOSE_VARIABLE = 'MAL_VERBOSE'


def enter(name: str, argv: Sequence[str] | None = None, program: str | None = None) -> int:
    """Run a command.

    Args:
        name: of its module in this package, such as 'evaluate'.
        argv: its arguments; None: those of the process.
        program: what it is called in help and errors; None: the script's name.

    Returns:
        The exit status.
    """
    command = importlib.import_module(f'mal_mm_cli.{name}')
    program = program or Path(sys.argv[0]).name
    args = parse(command, argv, program)
    with _quiet(args.verbose):
        try:
            return command.run(args)
        except (Exception, KeyboardInterrupt) as error:
            hint = command.interrupted(args) if hasattr(command, 'interrupted') else ''
            return report(
                program.removesuffix('.py'), error, getattr(command, 'ERROR_STATUS', 1), hint
            )


def parse(
    command: ModuleType, argv: Sequence[str] | None = None, program: str | None = None
) -> argparse.Namespace:
    """Read the arguments of a command; ends the process where they are wrong."""
    parser = argparse.ArgumentParser(
        prog=program,
        description=command.__doc__,
        epilog=command.EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_arguments(parser)
    parser.add_argument(
        '-v', '--verbose', action='store_true', help='show all that the libraries say'
    )
    args = parser.parse_args(argv)
    if hasattr(command, 'check'):
        command.check(args, parser)
    return args


def is_verbose() -> bool:
    """Whether --verbose was said to this command, or to the one that started it."""
    return bool(os.environ.get(VERBOSE_VARIABLE))


@contextmanager
def _quiet(verbose: bool):
    """Warnings of libraries are for those who ask: nobody else can act on them."""
    if verbose:
        os.environ[VERBOSE_VARIABLE] = '1'
    with warnings.catch_warnings():
        if not is_verbose():
            warnings.simplefilter('ignore')
            warnings.filterwarnings('default', module=r'mal_mm(\.|$)')
        yield
