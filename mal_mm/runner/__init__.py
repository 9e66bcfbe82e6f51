"""What stands in for parts of mmengine's Runner: a training loop, mixed precision, its log."""

from .box_count_train_loop import BoxCountTrainLoop
from .cuda_amp_optim_wrapper import CudaAmpOptimWrapper

__all__ = ['BoxCountTrainLoop', 'CudaAmpOptimWrapper']
