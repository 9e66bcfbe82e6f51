"""QualityMask2FormerHead: Mask2Former's head, minding the quality of pseudo-masks."""

from __future__ import annotations

import torch
from mmcv.ops import point_sample
from mmdet.models.dense_heads import Mask2FormerHead
from mmdet.models.utils import get_uncertain_point_coords_with_randomness
from mmdet.registry import MODELS
from mmdet.utils import InstanceList, reduce_mean
from mmengine.structures import InstanceData
from torch import Tensor

from ...formats.mal_fields import check_min_quality
from .mask_weights import mask_quality_of, weigh_masks


@MODELS.register_module()
class QualityMask2FormerHead(Mask2FormerHead):
    """mmdet's Mask2FormerHead that ignores bad pseudo-masks and may weight the others.

    Only the mask and dice losses know of quality. Queries are matched as ever, with mask and dice
    costs of bad masks too: a bad mask still says where its object is, and without these costs
    any query could be told to find it. The class loss is then the stock head's. With every
    quality 1 it is Mask2FormerHead, bit for bit; so are its parameters and their names always.

    B images, Q queries, M matched queries of the batch, P points.

    Args:
        min_quality: in [0, 1]; a query matched to a worse mask has neither mask nor dice loss.
        weight_by_quality: multiply a matched query's mask and dice losses by its mask's quality.
        **kwargs: Mask2FormerHead's.

    Raises:
        ValueError: `min_quality` is out of range, or there are stuff classes (panoptic).
    """

    def __init__(
        self, *, min_quality: float = 0.0, weight_by_quality: bool = False, **kwargs
    ) -> None:
        check_min_quality(min_quality)
        super().__init__(**kwargs)
        if self.num_stuff_classes:
            raise ValueError(
                f'`num_stuff_classes` must be 0, got {self.num_stuff_classes}; the masks of stuff '
                'have no quality'
            )
        self.min_quality = min_quality
        self.weight_by_quality = weight_by_quality

    def preprocess_gt(
        self, batch_gt_instances: InstanceList, batch_gt_semantic_segs: list
    ) -> InstanceList:
        """Labels and mask tensors, as the stock head, and `mask_quality` beside them."""
        prepared = super().preprocess_gt(batch_gt_instances, batch_gt_semantic_segs)
        for instances, given in zip(prepared, batch_gt_instances, strict=True):
            instances.mask_quality = mask_quality_of(given)
        return prepared

    def _get_targets_single(
        self, cls_score: Tensor, mask_pred: Tensor, gt_instances: InstanceData, img_meta: dict
    ) -> tuple:
        """The stock head's seven targets and (m,) quality of the matched masks, in their order."""
        targets = super()._get_targets_single(cls_score, mask_pred, gt_instances, img_meta)
        sampling_result = targets[-1]
        return *targets, gt_instances.mask_quality[sampling_result.pos_assigned_gt_inds]

    def _loss_by_feat_single(
        self,
        cls_scores: Tensor,
        mask_preds: Tensor,
        batch_gt_instances: InstanceList,
        batch_img_metas: list[dict],
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Losses of one decoder layer.

        Args:
            cls_scores: (B, Q, classes + 1) logits.
            mask_preds: (B, Q, h, w) logits.

        Returns:
            Class, mask and dice loss.
        """
        labels, label_weights, mask_targets, is_matched, _, quality = self.get_targets(
            list(cls_scores), list(mask_preds), batch_gt_instances, batch_img_metas
        )
        labels = torch.cat(labels)
        loss_cls = self.loss_cls(
            cls_scores.flatten(0, 1),
            labels,
            torch.cat(label_weights),
            avg_factor=cls_scores.new_tensor(self.class_weight)[labels].sum(),
        )
        mask_losses = self._mask_losses(
            mask_preds[torch.stack(is_matched) > 0], torch.cat(mask_targets), torch.cat(quality)
        )
        return loss_cls, *mask_losses

    def _mask_losses(
        self, mask_preds: Tensor, mask_targets: Tensor, quality: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Mask and dice loss, the mean over matched queries that count.

        Args:
            mask_preds: (M, h, w) logits.
            mask_targets: (M, H, W).
            quality: (M,) in [0, 1].
        """
        counts, weights = weigh_masks(quality, self.min_quality, self.weight_by_quality)
        # before any return: the other processes wait in here
        num_masks = reduce_mean(counts.sum(dtype=torch.float32)[None]).clamp(min=1)
        if not len(mask_preds):
            return mask_preds.sum(), mask_preds.sum()
        # Points are drawn for ignored masks too, which then weigh nothing: the random numbers that
        # the next layer's matching sees are those of the stock head.
        with torch.no_grad():
            points = get_uncertain_point_coords_with_randomness(
                mask_preds.unsqueeze(1),
                None,
                self.num_points,
                self.oversample_ratio,
                self.importance_sample_ratio,
            )
            point_targets = point_sample(mask_targets.unsqueeze(1).float(), points).squeeze(1)
        point_preds = point_sample(mask_preds.unsqueeze(1), points).squeeze(1)  # (M, P)
        loss_dice = self.loss_dice(point_preds, point_targets, weights, avg_factor=num_masks)
        loss_mask = self.loss_mask(
            point_preds.flatten(),
            point_targets.flatten(),
            weights.repeat_interleave(self.num_points),
            avg_factor=num_masks * self.num_points,
        )
        return loss_mask, loss_dice
