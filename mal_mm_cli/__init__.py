"""The command line of mal_mm: `mal-mm COMMAND`, and the scripts in tools/ that lead to it.

A package of its own, so that nothing but Python's own modules is imported before the arguments
are understood. Then comes what can be told without torch and MMDetection, which take seconds:
missing and broken files, misspelt options. They are imported last. Each command is a module with

    a docstring            what `--help` says first
    EXAMPLES               what it says last, with the exit statuses
    add_arguments(parser)  its options
    run(args) -> int       the work; imports mal_mm inside, returns the exit status

and, where it needs them,

    check(args, parser)    refuses arguments that do not go together, by `parser.error`
    interrupted(args)      what to say after Ctrl-C: how to go on
    ERROR_STATUS           exit status of an error, if not 1
"""

from __future__ import annotations

from pathlib import Path


def tools_folder() -> Path:
    """The folder of the scripts: the checkout's, or the one that the package brought along."""
    root = Path(__file__).resolve().parents[1]
    for folder in (root / 'tools', root / 'mal_mm' / '.mim' / 'tools'):
        if (folder / 'train.py').is_file():
            return folder
    raise FileNotFoundError(f'mal_mm in {root} came without its tools; install it with pip')
