#!/usr/bin/env python
"""`mal-mm import maskdino`, as a script: see mal_mm_cli/import_maskdino.py."""

import sys
from functools import partial
from pathlib import Path

from mal_mm_cli.door import enter

main = partial(enter, 'import_maskdino', program=Path(__file__).name)

if __name__ == '__main__':
    sys.exit(main())
