#!/usr/bin/env python
"""`mal-mm zoo`, as a script: see mal_mm_cli/zoo.py."""

import sys
from functools import partial
from pathlib import Path

from mal_mm_cli.door import enter

main = partial(enter, 'zoo', program=Path(__file__).name)

if __name__ == '__main__':
    sys.exit(main())
