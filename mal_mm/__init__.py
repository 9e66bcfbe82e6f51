"""Mask Auto-Labeler for MMDetection: instance masks learned from boxes alone.

Importing this package registers its parts in MMDetection's registries, so that a config needs
only `custom_imports = dict(imports=['mal_mm'], allow_failed_imports=False)`.
"""

from .compat import import_stack
from .compat.config_bases import config_path
from .version import __version__

import_stack()

from . import datasets, evaluation, hooks, models, runner  # noqa: E402, F401

__all__ = ['__version__', 'config_path']
