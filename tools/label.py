#!/usr/bin/env python
"""`mal-mm label`, as a script: see mal_mm_cli/label.py."""

import sys
from functools import partial

from mal_mm_cli.door import enter

main = partial(enter, 'label')

if __name__ == '__main__':
    sys.exit(main())
