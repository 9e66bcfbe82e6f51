"""What mmengine's loop calls: the teacher's update, mixed precision."""

from .cuda_amp_optim_wrapper import CudaAmpOptimWrapper
from .ema_teacher_hook import EMATeacherHook

__all__ = ['CudaAmpOptimWrapper', 'EMATeacherHook']
