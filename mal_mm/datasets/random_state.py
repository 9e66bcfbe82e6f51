"""Randomness that does not depend on who draws it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np


@contextmanager
def numpy_seed(*key: int) -> Iterator[None]:
    """Seed numpy's global generator from a key, and put the old state back afterwards.

    Args:
        *key: non-negative integers that name the sample.
    """
    state = np.random.get_state()
    np.random.seed(np.random.SeedSequence(key).generate_state(1)[0])
    try:
        yield
    finally:
        np.random.set_state(state)
