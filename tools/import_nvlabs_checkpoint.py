#!/usr/bin/env python
"""`mal-mm import nvlabs`, as a script: see mal_mm_cli/import_nvlabs.py."""

import sys
from functools import partial
from pathlib import Path

from mal_mm_cli.door import enter

main = partial(enter, 'import_nvlabs', program=Path(__file__).name)

if __name__ == '__main__':
    sys.exit(main())
