"""Several steps in one run that can be interrupted: what `mal-mm label` and `two-phase` do."""

from .options import Options
from .state import RefusedError
from .two_phase_run import TwoPhaseRun

__all__ = ['Options', 'RefusedError', 'TwoPhaseRun']
