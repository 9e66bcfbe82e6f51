"""Multiple-instance loss: the rows and columns of a box are bags."""

from __future__ import annotations

import torch
from mmdet.registry import MODELS
from torch import Tensor, nn


def dice_loss(probs: Tensor, target: Tensor) -> Tensor:
    """Dice loss with squares.

    Source: released behaviour: 1 - 2 sum(pt) / (sum p^2 + 0.001 + sum t^2 + 0.001).

    Args:
        probs: (N, ...) in [0, 1].
        target: (N, ...) in [0, 1], same shape.

    Returns:
        (N,) loss in [0, 1].

    Raises:
        ValueError: the shapes differ.
    """
    if probs.shape != target.shape:
        raise ValueError(
            f'`target` must be {tuple(probs.shape)} like `probs`, got {tuple(target.shape)}'
        )
    probs = probs.flatten(1).float()
    target = target.flatten(1).float()
    overlap = (probs * target).sum(1)
    return 1 - 2 * overlap / ((probs.square().sum(1) + 0.001) + (target.square().sum(1) + 0.001))


def mil_loss(mask_probs: Tensor, box_masks: Tensor) -> Tensor:
    """Match each crop's row and column maxima to its box.

    A row (column) that crosses the box holds at least one pixel of the object: a positive bag. One
    that misses the box holds none: a negative bag.

    Source: MAL, arXiv 2301.03992, Eq. (2); dice form of the released code.

    Args:
        mask_probs: (N, H, W) foreground probability in [0, 1].
        box_masks: (N, H, W) share of the cell inside the box, crop frame.

    Returns:
        (N,) loss >= 0, unreduced and unweighted.

    Raises:
        ValueError: the shapes differ.
    """
    if mask_probs.shape != box_masks.shape:
        raise ValueError(
            f'`box_masks` must be {tuple(mask_probs.shape)} like `mask_probs`, '
            f'got {tuple(box_masks.shape)}'
        )
    columns = dice_loss(mask_probs.amax(dim=1), box_masks.amax(dim=1))
    rows = dice_loss(mask_probs.amax(dim=2), box_masks.amax(dim=2))
    return columns + rows


def mil_loss_printed(mask_probs: Tensor, box_masks: Tensor) -> Tensor:
    """`mil_loss` as the paper prints it: one dice over all bags, the maxima squared in it.

    1 - 2 sum_i g_i m_i^2 / (sum_i m_i^2 + sum_i g_i^2), i over rows and columns, m_i the maximum
    and g_i the label of bag i. With m_i^2 above the line, a bag without any mask gets no gradient.

    Source: MAL, arXiv 2301.03992, Eq. (2).

    Args:
        mask_probs: (N, H, W) foreground probability in [0, 1].
        box_masks: (N, H, W) share of the cell inside the box; a crop of nothing else than 0 gives
            a loss of 1 whatever its mask.

    Returns:
        (N,) loss in [0, 1], unreduced and unweighted.
    """
    maxima, labels = (
        torch.cat([maps.amax(dim=1), maps.amax(dim=2)], dim=1) for maps in (mask_probs, box_masks)
    )
    squares = maxima.square()
    total = squares.sum(1) + labels.square().sum(1)
    return 1 - 2 * (labels * squares).sum(1) / total.clamp(min=1e-6)


def background_loss(mask_probs: Tensor) -> Tensor:
    """Push down every row and column of a crop that shows no object.

    All bags are negative there. Dice cannot tell them to vanish (its numerator is 0 whatever the
    mask), so this is the mean of -log(1 - max) over the bags.

    Source: the negatives of MAL, arXiv 2301.03992, Sec. 3.1; the form is ours.

    Args:
        mask_probs: (N, H, W) foreground probability in [0, 1].

    Returns:
        (N,) loss >= 0.
    """
    maxima = torch.cat([mask_probs.amax(1), mask_probs.amax(2)], dim=1)
    return -(1 - maxima).clamp(min=1e-6).log().mean(1)


_FORMS = {'released': mil_loss, 'paper': mil_loss_printed}


@MODELS.register_module()
class MILLoss(nn.Module):
    """`mil_loss`, averaged over the batch and weighted; `background_loss` where there is no box.

    Args:
        loss_weight: factor of the mean (paper and released code: 4).
        form: 'released' (`mil_loss`) or 'paper' (`mil_loss_printed`).

    Raises:
        ValueError: unknown `form`.
    """

    def __init__(self, loss_weight: float = 4.0, form: str = 'released') -> None:
        super().__init__()
        if form not in _FORMS:
            raise ValueError(f'`form` must be one of {tuple(_FORMS)}, got {form!r}')
        self.loss_weight = loss_weight
        self.form = form

    def forward(self, mask_probs: Tensor, box_masks: Tensor) -> Tensor:
        """Scalar loss; shapes as in `mil_loss`. A crop whose box mask is all 0 shows no box."""
        with torch.autocast(mask_probs.device.type, enabled=False):
            mask_probs = mask_probs.float()
            losses = torch.where(
                box_masks.amax((1, 2)) > 0,
                _FORMS[self.form](mask_probs, box_masks),
                background_loss(mask_probs),
            )
            return self.loss_weight * losses.mean()
