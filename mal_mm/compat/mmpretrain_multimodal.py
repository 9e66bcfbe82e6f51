"""mmpretrain beside a `transformers` that is newer than it."""

from __future__ import annotations

import importlib.util
import re
import sys
from importlib import metadata
from pathlib import Path

# The first with SAM 2. mmpretrain 1.2.0 dies beside 4.56.2, 1.3.6 of onedl beside 5.24.0; its
# multimodal models want transformers of 2023.
_NEWEST = (4, 56)
_NAME = 'mmpretrain.utils.dependency'


def leave_out_multimodal() -> bool:
    """Keep mmpretrain from importing BLIP and its like where it would die of that.

    It does so whenever `transformers` is installed, and names that these models need are gone from
    newer versions: "NoneType takes no arguments", and not even a ViT can be had. With its own
    switch off they are placeholders, as without `transformers`. Nothing here uses them.

    Returns:
        Whether they were left out. Does nothing where mmpretrain is missing. To be called before
        it is imported.
    """
    if not _is_too_new():
        return False
    package = importlib.util.find_spec('mmpretrain')
    if package is None or not package.submodule_search_locations:
        return False
    path = Path(next(iter(package.submodule_search_locations)), 'utils', 'dependency.py')
    # by its path: importing it by name would import all of mmpretrain first
    spec = importlib.util.spec_from_file_location(_NAME, path)
    if not path.is_file() or spec is None or spec.loader is None:
        return False
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    vars(module)['WITH_MULTIMODAL'] = False
    sys.modules[_NAME] = module
    return True


def _is_too_new() -> bool:
    try:
        version = metadata.version('transformers')
    except metadata.PackageNotFoundError:
        return False
    return tuple(int(part) for part in re.findall(r'\d+', version)[:2]) >= _NEWEST
