#!/usr/bin/env python
"""`mal-mm compare`, as a script: see mal_mm_cli/compare.py."""

import sys
from functools import partial

from mal_mm_cli.door import enter

main = partial(enter, 'compare')

if __name__ == '__main__':
    sys.exit(main())
