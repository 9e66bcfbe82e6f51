"""Several steps in one run that can be interrupted: what `mal-mm label` and `two-phase` do."""

from typing import TYPE_CHECKING

import lazy_loader

from .state import RefusedError

if TYPE_CHECKING:
    from .options import Options
    from .two_phase_run import TwoPhaseRun

# what needs MMDetection is imported by those who name it: the checks of `label` do not
__getattr__, __dir__, _ = lazy_loader.attach(
    __name__, submod_attrs={'options': ['Options'], 'two_phase_run': ['TwoPhaseRun']}
)

__all__ = ['Options', 'RefusedError', 'TwoPhaseRun']
