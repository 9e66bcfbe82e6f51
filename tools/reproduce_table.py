#!/usr/bin/env python
"""`mal-mm reproduce`, as a script: see mal_mm_cli/reproduce.py."""

import sys
from functools import partial

from mal_mm_cli.door import enter

main = partial(enter, 'reproduce')

if __name__ == '__main__':
    sys.exit(main())
