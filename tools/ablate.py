#!/usr/bin/env python
"""`mal-mm reproduce ablation`, as a script: see mal_mm_cli/ablation.py."""

import sys
from functools import partial
from pathlib import Path

from mal_mm_cli.door import enter

main = partial(enter, 'ablation', program=Path(__file__).name)

if __name__ == '__main__':
    sys.exit(main())
