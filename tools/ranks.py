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

FINISHED_WITH_SKIPS = 3  # of generate_pseudo_masks.py, which has said all


def main() -> int:
    # it logs each failure once more, with the whole table of ranks
    logging.getLogger('torch.distributed.elastic.multiprocessing.api').setLevel(logging.CRITICAL)
    try:
        run.run(run.parse_args(None))
    except ChildFailedError as error:
        rank, failure = error.get_first_failure()
        if failure.exitcode == FINISHED_WITH_SKIPS:
            return FINISHED_WITH_SKIPS
        how = (
            f'exit status {failure.exitcode}'
            if failure.exitcode >= 0
            else f'signal {-failure.exitcode}'
        )
        print(
            f'rank {rank} ended with {how}, and the others were stopped; what it said is above. '
            'Where the tool knows --resume, that goes on',
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
