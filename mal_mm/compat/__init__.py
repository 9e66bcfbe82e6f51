"""Everything that mal_mm does because of the software under it, one file per workaround.

Importing this package imports neither torch nor the OpenMMLab stack: `import_stack` has to be
able to say that they are missing.
"""

from .stack import check_stack, import_stack, installed_versions

__all__ = ['check_stack', 'import_stack', 'installed_versions']
