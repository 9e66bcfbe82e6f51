"""What the tests of configs share."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable

import pytest
from mmengine.config import Config
from mmengine.hub import get_config


@pytest.fixture(scope='session')
def load_config(repo_root) -> Callable[[str], Config]:
    """load_config('phase2/NAME.py') or ('mmdet::FOLDER/NAME.py'); read once, a copy each time."""

    @functools.cache
    def read(name: str) -> Config:
        if '::' in name:
            return get_config(name)
        return Config.fromfile(repo_root / 'configs' / name)

    # building a model writes into its config
    return lambda name: copy.deepcopy(read(name))
