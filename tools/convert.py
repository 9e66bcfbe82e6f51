#!/usr/bin/env python
"""Thin door to `mal-mm convert`."""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from mal_mm_cli import convert


def main(argv=None) -> int:
    """Convert; see the exit status in the help."""
    parser = argparse.ArgumentParser(
        description=convert.__doc__,
        epilog=convert.EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    convert.add_arguments(parser)
    args = parser.parse_args(argv)
    try:
        return convert.run(args)
    except (Exception, KeyboardInterrupt) as error:
        from mal_mm.tool_errors import report

        return report('convert', error)


if __name__ == '__main__':
    sys.exit(main())
