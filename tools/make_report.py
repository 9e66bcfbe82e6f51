#!/usr/bin/env python
"""`mal-mm report`, as a script: see mal_mm_cli/report.py."""

import sys
from functools import partial

from mal_mm_cli.door import enter

main = partial(enter, 'report')

if __name__ == '__main__':
    sys.exit(main())
