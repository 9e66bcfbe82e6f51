"""What several test files share."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import mal_mm  # noqa: F401  (before any mmdet module: a test file may import that first)

REPO_ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope='session')
def repo_root() -> Path:
    """The checkout."""
    return REPO_ROOT


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
