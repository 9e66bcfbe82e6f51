#!/usr/bin/env python
"""torchrun, but that a rank which fails ends it in a sentence: what the rank said stands above.

Takes the arguments of torchrun. dist_*.sh and run_two_phase.py call it.
"""

from __future__ import annotations

import logging
import sys

from torch.distributed import run
from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError


def main() -> int:
    # it logs each failure once more, with the whole table of ranks
    logging.getLogger('torch.distributed.elastic.multiprocessing.api').setLevel(logging.CRITICAL)
    try:
        run.run(run.parse_args(None))
    except ChildFailedError as error:
        rank, failure = error.get_first_failure()
        how = (
            f'exit status {failure.exitcode}'
            if failure.exitcode >= 0
            else f'signal {-failure.exitcode}'
        )
        print(
            f'rank {rank} of {len(error.failures)} or more that failed ended first, with {how}; '
            'what it said is above. Where the tool knows --resume, that goes on',
            file=sys.stderr,
        )
        return 1 if failure.exitcode < 0 else failure.exitcode
    except SignalException as error:
        return 128 + int(error.sigval)
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == '__main__':
    sys.exit(main())
