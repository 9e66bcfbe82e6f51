"""Mask Auto-Labeler for MMDetection: instance masks learned from boxes alone.

Importing this package makes its parts known to MMDetection's registries, so that a config needs
only `custom_imports = dict(imports=['mal_mm'], allow_failed_imports=False)`. It imports neither
torch nor MMDetection, which takes seconds and which many commands do without: the parts are
imported when a registry is asked for the first name, or when Python code names them, and what
MMDetection needs repaired is when it is imported (compat/when_imported.py).
"""

import importlib
from types import ModuleType

from .compat import prepare_stack
from .compat.config_bases import config_path
from .version import __version__

prepare_stack()

__all__ = ['__version__', 'config_path']


def __getattr__(name: str) -> ModuleType:
    """`mal_mm.models` and its like, without an import of their own."""
    if name in ('datasets', 'evaluation', 'hooks', 'models', 'runner'):
        return importlib.import_module(f'{__name__}.{name}')
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
