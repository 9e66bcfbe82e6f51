"""What mmengine's loop calls: the teacher's update, resuming, loading, health, progress."""

from .atomic_checkpoint_hook import AtomicCheckpointHook
from .collapse_hook import CollapseHook
from .console_progress_hook import ConsoleProgressHook
from .ema_teacher_hook import EMATeacherHook
from .exact_resume_hook import ExactResumeHook
from .feature_cache_hook import FeatureCacheHook
from .load_report_hook import LoadReportHook
from .mask_visualization_hook import MaskVisualizationHook

__all__ = [
    'AtomicCheckpointHook',
    'CollapseHook',
    'ConsoleProgressHook',
    'EMATeacherHook',
    'ExactResumeHook',
    'FeatureCacheHook',
    'LoadReportHook',
    'MaskVisualizationHook',
]
