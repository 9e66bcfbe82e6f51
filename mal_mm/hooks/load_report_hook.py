"""LoadReportHook: which tensors `load_from` does not bring, in the log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mmdet.registry import HOOKS
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from torch import Tensor

MOST_NAMES = 30  # of a line; a file of another model would fill pages


@HOOKS.register_module()
class LoadReportHook(Hook):
    """Log what a loaded checkpoint leaves as it was initialised.

    mmengine prints this to the terminal alone, so that it is missing from the log file.
    """

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Called with the file's content before the model takes it over."""
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        weights = checkpoint.get('state_dict', checkpoint)
        # as mmengine renames them when it loads
        weights = {name.removeprefix('module.'): value for name, value in weights.items()}
        for line in load_report(model.state_dict(), weights):
            runner.logger.warning(line)


def load_report(model: Mapping[str, Tensor], weights: Mapping[str, Tensor]) -> list[str]:
    """Sentences about tensors that a checkpoint does not bring or that find no place.

    Args:
        model: state dict of the model.
        weights: of the checkpoint.

    Returns:
        None to three sentences. Counters of batch norms are left out.
    """
    other_shape = [
        f'{name} {tuple(weights[name].shape)} -> {tuple(value.shape)}'
        for name, value in model.items()
        if name in weights and weights[name].shape != value.shape
    ]
    missing, left_over = (
        [name for name in ours if name not in others and 'num_batches_tracked' not in name]
        for ours, others in ((model, weights), (weights, model))
    )
    return [
        f'{what} ({len(names)} tensors): {_shortened(names)}'
        for names, what in (
            (other_shape, 'Initialisation kept, the checkpoint has another shape'),
            (missing, 'Initialisation kept, not in the checkpoint'),
            (left_over, 'In the checkpoint, but not in the model'),
        )
        if names
    ]


def _shortened(names: Sequence[str]) -> str:
    more = len(names) - MOST_NAMES
    return ', '.join(names[:MOST_NAMES]) + (f' and {more} more' if more > 0 else '')
