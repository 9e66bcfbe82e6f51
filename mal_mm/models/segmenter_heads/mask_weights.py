"""What a mask's quality makes of its loss.

An instance *counts* when its quality is not below `min_quality`. The mask loss is the mean over
those that count (of quality times loss, if it is weighted), so that leaving out bad masks does
not shrink the loss of good ones, and the weight of a mask does not depend on which other masks
share its batch.
"""

from __future__ import annotations

from mmengine.structures import InstanceData
from torch import Tensor


def mask_quality_of(instances: InstanceData) -> Tensor:
    """(n,) quality of the ground truth's masks.

    Raises:
        RuntimeError: the data pipeline does not deliver it.
    """
    if 'mask_quality' not in instances:
        raise RuntimeError(
            'gt_instances has no `mask_quality`, which this head needs; let '
            'mal_mm.phase2.mask_quality.use_mask_quality set up data set, pipeline and head'
        )
    return instances.mask_quality


def weigh_masks(
    quality: Tensor, min_quality: float, weight_by_quality: bool
) -> tuple[Tensor, Tensor]:
    """Which masks count, and how much.

    Args:
        quality: (n,) in [0, 1].

    Returns:
        (n,) bool and (n,) weights in [0, 1], 0 for those that do not count.
    """
    counts = quality >= min_quality
    return counts, (quality * counts if weight_by_quality else counts.to(quality.dtype))
