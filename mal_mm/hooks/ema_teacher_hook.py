"""EMATeacherHook: the teacher follows the student."""

from __future__ import annotations

import torch
from mmdet.engine.hooks import MeanTeacherHook
from mmdet.registry import HOOKS
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from torch import nn


@HOOKS.register_module()
class EMATeacherHook(MeanTeacherHook):
    """mmdet's MeanTeacherHook with the paper's momentum, fused, and respecting `load_from`.

    Source: MAL, arXiv 2301.03992, Sec. 3.3: momentum 0.996, after every iteration.

    Args:
        momentum: teacher <- momentum * teacher + (1 - momentum) * student, in (0, 1).
        interval: iterations between two updates.

    Raises:
        ValueError: `momentum` outside (0, 1).
    """

    def __init__(self, momentum: float = 0.996, interval: int = 1) -> None:
        if not 0 < momentum < 1:
            raise ValueError(f'`momentum` must be in (0, 1), got {momentum}; the paper has 0.996')
        super().__init__(momentum=1 - momentum, interval=interval)

    def before_train(self, runner: Runner) -> None:
        """Check that there are two networks.

        MaskAutoLabeler has started the teacher as the student's copy; copying here, as the parent
        does, would undo a teacher loaded by `load_from`.
        """
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        if not (hasattr(model, 'student') and hasattr(model, 'teacher')):
            raise TypeError(
                'EMATeacherHook needs a model with `student` and `teacher`, '
                f'got {type(model).__name__}'
            )

    @torch.no_grad()
    def momentum_update(self, model: nn.Module, momentum: float) -> None:
        """teacher <- (1 - momentum) * teacher + momentum * student, all tensors at once.

        This is mmdet's convention of the momentum; the constructor has the paper's.
        """
        # a frozen encoder is one module in both networks and stays as it is
        pairs = [
            (teacher, student)
            for teacher, student in zip(
                model.teacher.parameters(), model.student.parameters(), strict=True
            )
            if teacher is not student
        ]
        teachers, students = [teacher for teacher, _ in pairs], [student for _, student in pairs]
        torch._foreach_lerp_(teachers, students, momentum)
        for teacher, student in zip(model.teacher.buffers(), model.student.buffers(), strict=True):
            if teacher is not student:
                teacher.copy_(student)
