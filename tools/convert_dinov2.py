#!/usr/bin/env python
"""`mal-mm import dinov2`, as a script: see mal_mm_cli/import_dinov2.py."""

import sys
from functools import partial

from mal_mm_cli.door import enter

main = partial(enter, 'import_dinov2')

if __name__ == '__main__':
    sys.exit(main())
