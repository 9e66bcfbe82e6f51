"""Start-mask loss: agree with masks that were drawn without training."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from mmdet.registry import MODELS
from torch import Tensor, nn

from .mil_loss import dice_loss


@MODELS.register_module()
class StartMaskLoss(nn.Module):
    """Dice loss plus cross entropy between the student's masks and given ones.

    Not in MAL. A few boxes do not tell a network what an object is; masks from frozen features
    and colours do for a start, which the box and the CRF loss then go on from.

    Args:
        loss_weight: factor of the mean over the crops that have a mask.
        until: share of the training, in (0, 1], after which the masks no longer count.

    Raises:
        ValueError: `until` outside its range.
    """

    def __init__(self, loss_weight: float = 1.0, until: float = 1.0) -> None:
        super().__init__()
        if not 0 < until <= 1:
            raise ValueError(f'`until` must lie in (0, 1], got {until}')
        self.loss_weight = loss_weight
        self.until = until

    def forward(self, mask_probs: Tensor, start_masks: Tensor, progress: float = 0.0) -> Tensor:
        """Scalar loss.

        Args:
            mask_probs: (N, H, W) student's mask in [0, 1].
            start_masks: (N, H, W) share of the cell inside the given mask; a crop whose mask is
                all 0 has none.
            progress: share of the training that is done, in [0, 1].
        """
        with torch.autocast(mask_probs.device.type, enabled=False):
            probs, masks = mask_probs.float(), start_masks.float()
            if progress >= self.until:
                return probs.sum() * 0
            # all crops, then those without a mask count 0: picking them out would need their
            # number, for which the host would wait
            given = masks.amax((1, 2)) > 0
            entropy = F.binary_cross_entropy(probs, masks, reduction='none').mean((1, 2))
            losses = torch.where(given, dice_loss(probs, masks) + entropy, 0)
            return self.loss_weight * losses.sum() / given.sum().clamp(min=1)
