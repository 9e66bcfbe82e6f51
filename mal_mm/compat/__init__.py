"""Everything that mal_mm does because of the software under it, one file per workaround.

Importing this package imports neither torch nor the OpenMMLab stack: `prepare_stack` has to be
able to say that they are missing, and most commands need neither.
"""

from .stack import check_stack, installed_versions, prepare_stack

__all__ = ['check_stack', 'installed_versions', 'prepare_stack']
