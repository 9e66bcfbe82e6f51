"""What stands in for parts of mmengine's Runner: a training loop, mixed precision, its log."""

from .box_count_train_loop import BoxCountTrainLoop
from .mixed_precision_optim_wrapper import MixedPrecisionOptimWrapper

__all__ = ['BoxCountTrainLoop', 'MixedPrecisionOptimWrapper']
