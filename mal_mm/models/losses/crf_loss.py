"""CRF loss: agree with the mean-field refinement of one's own and the teacher's masks."""

from __future__ import annotations

import torch
from mmdet.registry import MODELS
from torch import Tensor, nn

from .mean_field import MeanField
from .mil_loss import dice_loss


@MODELS.register_module()
class CRFLoss(nn.Module):
    """Dice loss between the student's mask and the refined average of student and teacher.

    Source: MAL, arXiv 2301.03992, Sec. 3.3, Eq. (5); numbers of the released code.

    Args:
        loss_weight: factor of the mean over the batch (paper and released code: 0.5).
        mean_field: arguments of `MeanField`.
    """

    def __init__(self, loss_weight: float = 0.5, mean_field: dict | None = None) -> None:
        super().__init__()
        self.loss_weight = loss_weight
        self.mean_field = MeanField(**(mean_field or {}))

    def refine(
        self, image: Tensor, student_probs: Tensor, teacher_probs: Tensor, box_masks: Tensor
    ) -> Tensor:
        """Refined labels of the average of both networks.

        Args:
            image: (N, C, H, W) normalised colours at the masks' size.
            student_probs, teacher_probs: (N, H, W) in [0, 1].
            box_masks: (N, H, W) share of the cell inside the box.

        Returns:
            (N, H, W) uint8.
        """
        mean_probs = (student_probs.detach().float() + teacher_probs.detach().float()) / 2
        return self.mean_field(image, mean_probs, box_masks)

    def forward(self, student_probs: Tensor, labels: Tensor) -> Tensor:
        """Scalar loss of (N, H, W) probabilities against the labels of `refine`."""
        with torch.autocast(student_probs.device.type, enabled=False):
            return self.loss_weight * dice_loss(student_probs.float(), labels).mean()
