"""QualityFCNMaskHead: the mask head of Mask R-CNN and Cascade Mask R-CNN, minding quality."""

from __future__ import annotations

import torch
from mmdet.models.losses import CrossEntropyLoss, mask_cross_entropy
from mmdet.models.roi_heads.mask_heads import FCNMaskHead
from mmdet.models.task_modules.samplers import SamplingResult
from mmdet.registry import MODELS
from mmdet.utils import ConfigType, InstanceList
from torch import Tensor

from ...formats.mal_fields import check_min_quality
from .mask_weights import mask_quality_of, weigh_masks


@MODELS.register_module()
class QualityFCNMaskHead(FCNMaskHead):
    """mmdet's FCNMaskHead that ignores bad pseudo-masks and may weight the others.

    Box and class losses, which other heads compute, are untouched. With every quality 1 it is
    FCNMaskHead, bit for bit; so are its parameters and their names always.

    Args:
        min_quality: in [0, 1]; an RoI whose object's mask is worse has no mask loss.
        weight_by_quality: multiply each RoI's mask loss by its mask's quality.
        **kwargs: FCNMaskHead's.

    Raises:
        ValueError: `min_quality` is out of range, or `loss_mask` is not the usual one.
    """

    def __init__(
        self, *, min_quality: float = 0.0, weight_by_quality: bool = False, **kwargs
    ) -> None:
        check_min_quality(min_quality)
        super().__init__(**kwargs)
        loss = self.loss_mask
        if (
            not isinstance(loss, CrossEntropyLoss)
            or not loss.use_mask
            or loss.class_weight is not None
        ):
            raise ValueError(
                '`loss_mask` must be a CrossEntropyLoss with use_mask=True and no class_weight, '
                f'got {kwargs.get("loss_mask")!r}; only for that one is a weight of RoIs known'
            )
        self.min_quality = min_quality
        self.weight_by_quality = weight_by_quality

    def loss_and_target(
        self,
        mask_preds: Tensor,
        sampling_results: list[SamplingResult],
        batch_gt_instances: InstanceList,
        rcnn_train_cfg: ConfigType,
    ) -> dict:
        """Mean mask loss over the RoIs that count.

        Args:
            mask_preds: (R, C, h, w) logits of the positive RoIs, C = 1 if class-agnostic.
            sampling_results: RoIs of each image and which object each belongs to.
            batch_gt_instances: each with `masks` and `mask_quality`.

        Returns:
            dict(loss_mask=dict(loss_mask=...), mask_targets=(R, h, w)), as FCNMaskHead.
        """
        mask_targets = self.get_targets(sampling_results, batch_gt_instances, rcnn_train_cfg)
        quality = torch.cat(
            [
                mask_quality_of(instances)[sampled.pos_assigned_gt_inds]
                for instances, sampled in zip(batch_gt_instances, sampling_results, strict=True)
            ]
        )
        labels = torch.cat([sampled.pos_gt_labels for sampled in sampling_results])
        if self.class_agnostic:
            labels = torch.zeros_like(labels)
        counts, weights = weigh_masks(quality, self.min_quality, self.weight_by_quality)
        mask_preds = mask_preds[counts]
        if len(mask_preds):
            # `class_weight` goes unchanged to the element-wise weight of torch's cross entropy
            loss_mask = self.loss_mask.loss_weight * mask_cross_entropy(
                mask_preds,
                mask_targets[counts],
                labels[counts],
                class_weight=weights[counts, None, None],
            )
        else:
            # An empty sum is 0 but hangs in the graph: DDP waits for every parameter's gradient.
            loss_mask = mask_preds.sum()
        return dict(loss_mask=dict(loss_mask=loss_mask), mask_targets=mask_targets)
