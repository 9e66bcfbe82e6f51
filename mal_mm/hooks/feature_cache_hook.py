"""FeatureCacheHook: tell what the feature cache was good for."""

from __future__ import annotations

from typing import Any

from mmdet.registry import HOOKS
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner

from ..models.encoders import find_cached_encoders, log_cache_counts


@HOOKS.register_module()
class FeatureCacheHook(Hook):
    """Log after each epoch how many feature maps came from CachedEncoder's folder.

    Where no crop can come back, because each is drawn anew or the student sees other colours each
    time, the cache is switched off for the training and a warning says what to change: it would
    only fill the disk.
    """

    def before_train(self, runner: Runner) -> None:
        """Switch a cache off that cannot hit."""
        encoders = find_cached_encoders(runner.model)
        problem = _why_no_hits(runner) if encoders else None
        for encoder in encoders:
            encoder.enabled = problem is None
        if problem:
            runner.logger.warning(f'CachedEncoder is off in this training: {problem}')

    def after_train_epoch(self, runner: Runner) -> None:
        """Log the counts."""
        log_cache_counts(runner.model)


def _why_no_hits(runner: Runner) -> str | None:
    model = runner.model.module if is_model_wrapper(runner.model) else runner.model
    if len(model.data_preprocessor.student_view):
        return (
            'the student sees each crop in other colours each time; set jitter=None, grey_prob=0 '
            'and blur_prob=0 in `model.data_preprocessor` or use the encoder without CachedEncoder'
        )
    dataset = runner.train_dataloader.dataset
    if getattr(dataset, 'views_per_box', 0) is None and _draws_crops(dataset):
        return (
            'each epoch draws new crops; set `views_per_box` of RoIDataset to the number of crops '
            'of each box that training goes round'
        )
    return None


def _draws_crops(dataset: Any) -> bool:
    if getattr(dataset, 'background_ratio', 0):
        return True
    expansions = [getattr(each, 'expansion', 'fixed') for each in dataset.pipeline.transforms]
    return not set(expansions) <= {'fixed', 'tight'}
