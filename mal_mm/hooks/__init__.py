"""What mmengine's loop calls: the teacher's update, mixed precision, resuming, loading, health."""

from .atomic_checkpoint_hook import AtomicCheckpointHook
from .box_count_train_loop import BoxCountTrainLoop
from .collapse_hook import CollapseHook
from .cuda_amp_optim_wrapper import CudaAmpOptimWrapper
from .ema_teacher_hook import EMATeacherHook
from .exact_resume_hook import ExactResumeHook
from .feature_cache_hook import FeatureCacheHook
from .load_report_hook import LoadReportHook
from .mask_visualization_hook import MaskVisualizationHook

__all__ = [
    'AtomicCheckpointHook',
    'BoxCountTrainLoop',
    'CollapseHook',
    'CudaAmpOptimWrapper',
    'EMATeacherHook',
    'ExactResumeHook',
    'FeatureCacheHook',
    'LoadReportHook',
    'MaskVisualizationHook',
]
