"""What several test files share."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest
import warm_processes
from mmengine.config import utils as config_utils
from mmengine.logging import MessageHub

import mal_mm  # noqa: F401  (before any mmdet module: a test file may import that first)

REPO_ROOT = Path(__file__).resolve().parents[1]


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> None:
    """All is imported and nothing has run: see warm_processes.py."""
    if session.items:  # the process that hands them out to others has none
        warm_processes.begin()


@pytest.fixture(scope='session')
def repo_root() -> Path:
    """The checkout."""
    return REPO_ROOT


@pytest.fixture(scope='session', autouse=True)
def metafiles_read_once():
    """For every `mmdet::` mmengine reads mmdet's hundred metafiles anew, which takes 0.2 s."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(config_utils, 'load', cache(config_utils.load))
        yield


@pytest.fixture(autouse=True)
def no_run_before():
    """Losses that ramp ask the current message hub how far the training is."""
    MessageHub._instance_dict.clear()


@pytest.fixture(scope='session')
def reference_dir() -> Path:
    """Folder of the numbers computed with the authors' released code."""
    beside = REPO_ROOT.parent / 'shared' / 'reference'
    return beside if beside.is_dir() else REPO_ROOT / 'tests' / 'data' / 'reference'


@pytest.fixture(scope='session')
def load_reference(reference_dir: Path):
    """load_reference('losses') -> dict of the arrays in losses.npz."""

    def load(name: str) -> dict[str, np.ndarray]:
        with np.load(reference_dir / f'{name}.npz') as arrays:
            return dict(arrays)

    return load
