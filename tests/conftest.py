"""What several test files share."""

from __future__ import annotations

import gc
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import warm_processes
from mmengine.config import config
from mmengine.config import utils as config_utils
from mmengine.logging import MessageHub
from yapf.yapflib import yapf_api

import mal_mm  # noqa: F401  (before any mmdet module: a test file may import that first)

FORMAT_CODE = yapf_api.FormatCode
REPO_ROOT = Path(__file__).resolve().parents[1]


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> None:
    """All is imported and nothing has run: see warm_processes.py."""
    if session.items:  # the process that hands them out to others has none
        warm_processes.begin()
        # every data set collects garbage: half a second among a million objects of libraries
        gc.collect()
        gc.freeze()


def pytest_sessionfinish() -> None:
    warm_processes.end()


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


def _lay_out(patch: pytest.MonkeyPatch, how: Callable) -> None:
    """Let configs be laid out by `how`; onedl's mmengine imports the function late."""
    for module in (yapf_api, config):
        if hasattr(module, 'FormatCode'):
            patch.setattr(module, 'FormatCode', how)


@pytest.fixture(scope='session', autouse=True)
def configs_without_layout():
    """yapf takes a second to break the lines of a config, and changes no value.

    Warm processes have it, and tests with the fixture `configs_with_layout`.
    """
    with pytest.MonkeyPatch.context() as patch:
        _lay_out(patch, lambda text, **_: (text, True))
        yield


@pytest.fixture(scope='module')
def configs_with_layout():
    """Configs are written as users get them; the same text is laid out once."""
    done: dict[str, tuple[str, bool]] = {}

    def lay_out(text: str, **options: object) -> tuple[str, bool]:
        if text not in done:
            done[text] = FORMAT_CODE(text, **options)
        return done[text]

    with pytest.MonkeyPatch.context() as patch:
        _lay_out(patch, lay_out)
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
