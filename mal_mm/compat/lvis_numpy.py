"""The `lvis` package, last released in 2020, under today's numpy and mmengine."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from types import ModuleType

import numpy as np


class _NumpyWithFloat(ModuleType):
    """numpy as lvis 0.5.3 knows it: `np.float`, gone since numpy 1.24, is Python's float."""

    float = float

    def __getattr__(self, name: str) -> object:
        return getattr(np, name)


def prefer_more_ap() -> None:
    """Tell mmengine that more is better: 'mAP' is on its list, `lvis/segm_AP` is not.

    Else `save_best='auto'` cannot tell the best checkpoint.
    """
    from mmengine.hooks.checkpoint_hook import CheckpointHook

    for key in ('segm_AP', 'bbox_AP'):
        if key not in CheckpointHook._default_greater_keys:
            CheckpointHook._default_greater_keys.append(key)


def repair_lvis() -> None:
    """Let LVISMetric evaluate, and write result files of a test set."""
    spec = importlib.util.find_spec('lvis')
    if spec is None or spec.origin is None:  # missing, or a folder that happens to be called so
        return
    from lvis import LVIS
    from lvis import eval as lvis_eval

    # In its own module only: a `numpy.float` for all would hide the same mistake elsewhere.
    if not isinstance(lvis_eval.np, _NumpyWithFloat):
        lvis_eval.np = _NumpyWithFloat('numpy')
        LVIS._load_json = _with_annotations(LVIS._load_json)


def _with_annotations(load_json: Callable) -> Callable:
    def load(self: object, path: str) -> object:
        # the image_info files of the test sets hold images and categories only
        content = load_json(self, path)
        if isinstance(content, dict):
            content.setdefault('annotations', [])
        return content

    return load
