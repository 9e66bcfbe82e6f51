"""mal-mm: instance masks from bounding boxes.

mal-mm COMMAND --help    says what a command does, with examples
"""

from __future__ import annotations

import argparse
import ast
import sys
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

from .door import enter

# what is typed -> module of this package; in the order of the help
COMMANDS = {
    'label': 'label',
    'train': 'train',
    'generate': 'generate',
    'evaluate': 'evaluate',
    'report': 'report',
    'test': 'test',
    'convert': 'convert',
    'two-phase': 'two_phase',
    'retention': 'retention',
    'samples': 'samples',
    'export': 'export',
    'zoo': 'zoo',
    'import nvlabs': 'import_nvlabs',
    'import maskdino': 'import_maskdino',
    'import dinov2': 'import_dinov2',
    'plot': 'plot_training',
    'reproduce table': 'reproduce_table',
    'reproduce predictions': 'compare_predictions',
    'reproduce ablation': 'ablation',
    'reproduce clustering': 'clustering_score',
    'reproduce attention': 'attention',
    'evaluate-detector': 'evaluate_detector',
}


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point of `mal-mm`; the exit status."""
    argv = list(sys.argv[1:] if argv is None else argv)
    for words in (2, 1):
        name = ' '.join(argv[:words])
        if len(argv) >= words and name in COMMANDS:
            return enter(COMMANDS[name], argv[words:], f'mal-mm {name}')
    parser = argparse.ArgumentParser(
        prog='mal-mm',
        description=f'{__doc__}\n{_list()}',
        formatter_class=argparse.RawDescriptionHelpFormatter,
        usage='mal-mm COMMAND ...',
    )
    parser.add_argument('--version', action='store_true', help='print the version and end')
    parser.add_argument('command', nargs='*', help=argparse.SUPPRESS)
    args = parser.parse_args(argv[:1])
    if args.version:
        print(metadata.version('mal-mm'))
        return 0
    if argv:
        several = [name for name in COMMANDS if name.startswith(f'{argv[0]} ')]
        parser.error(
            f'{argv[0]!r} is one of: {", ".join(several)}'
            if several
            else f'no command {argv[0]!r}; there are {", ".join(COMMANDS)}'
        )
    parser.print_help()
    return 0


def _list() -> str:
    width = max(map(len, COMMANDS)) + 4
    lines = [f'  {name:{width}}{summary(module)}' for name, module in COMMANDS.items()]
    return '\n'.join(['commands:', *lines])


def summary(module: str) -> str:
    """First line of a command's docstring, read without importing it."""
    path = Path(__file__).with_name(f'{module}.py')
    return (ast.get_docstring(ast.parse(path.read_text('utf-8'))) or '').split('\n')[0]


if __name__ == '__main__':
    sys.exit(main())
