#!/usr/bin/env python
"""`mal-mm two-phase`, as a script: see mal_mm_cli/two_phase.py."""

import sys
from functools import partial
from pathlib import Path

from mal_mm_cli.door import enter

main = partial(enter, 'two_phase', program=Path(__file__).name)

if __name__ == '__main__':
    sys.exit(main())
