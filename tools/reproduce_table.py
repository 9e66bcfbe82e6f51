#!/usr/bin/env python
"""`mal-mm reproduce table`, as a script: see mal_mm_cli/reproduce_table.py."""

import sys
from functools import partial
from pathlib import Path

from mal_mm_cli.door import enter

main = partial(enter, 'reproduce_table', program=Path(__file__).name)

if __name__ == '__main__':
    sys.exit(main())
