#!/usr/bin/env python
"""`mal-mm retention`, as a script: see mal_mm_cli/retention.py."""

import sys
from functools import partial
from pathlib import Path

from mal_mm_cli.door import enter

main = partial(enter, 'retention', program=Path(__file__).name)

if __name__ == '__main__':
    sys.exit(main())
