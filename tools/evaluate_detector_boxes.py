#!/usr/bin/env python
"""`mal-mm evaluate-detector`, as a script: see mal_mm_cli/evaluate_detector.py."""

import sys
from functools import partial

from mal_mm_cli.door import enter

main = partial(enter, 'evaluate_detector')

if __name__ == '__main__':
    sys.exit(main())
