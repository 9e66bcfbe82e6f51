"""Both phases in one run that can be interrupted: boxes in, a segmenter and its figures out."""

from .options import Options
from .run import TwoPhaseRun
from .state import RefusedError

__all__ = ['Options', 'RefusedError', 'TwoPhaseRun']
