"""Hybrid matching: which query learns which segment, by class, box and mask together.

Q queries, n segments of an image, C class logits.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mmdet.models.task_modules import CrossEntropyLossCost, DiceCost, FocalLossCost
from mmdet.structures.bbox import bbox_cxcywh_to_xyxy
from mmengine.structures import InstanceData
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from .mask_points import PointSampler, sample_maps, sample_masks
from .targets import SegmentTargets

GIOU_EPS = 1e-6  # added, not a floor: boxes without area overlap by 0 and enclose by 1


def generalized_box_iou(boxes_xyxy: Tensor, other_xyxy: Tensor) -> Tensor:
    """GIoU of boxes (..., 4), broadcast against each other.

    mmdet's puts a floor under both denominators; the original adds to them, which shows where
    boxes are tiny.

    Returns:
        (...) in (-1, 1].
    """
    sides = (boxes_xyxy[..., 2:] - boxes_xyxy[..., :2]).prod(-1)
    other_sides = (other_xyxy[..., 2:] - other_xyxy[..., :2]).prod(-1)
    top_left = torch.maximum(boxes_xyxy[..., :2], other_xyxy[..., :2])
    bottom_right = torch.minimum(boxes_xyxy[..., 2:], other_xyxy[..., 2:])
    overlap = (bottom_right - top_left).clamp(min=0).prod(-1)
    union = sides + other_sides - overlap
    outer_top_left = torch.minimum(boxes_xyxy[..., :2], other_xyxy[..., :2])
    outer_bottom_right = torch.maximum(boxes_xyxy[..., 2:], other_xyxy[..., 2:])
    hull = (outer_bottom_right - outer_top_left).clamp(min=0).prod(-1)
    return overlap / (union + GIOU_EPS) - (hull - union) / (hull + GIOU_EPS)


class HybridMatcher:
    """One-to-one matching of queries and segments.

    Source: Mask DINO, arXiv 2206.02777, section 3.3 (hybrid matching).

    Args:
        weights: of the costs `cls`, `mask`, `dice`, `bbox`, `iou`.
        point_sampler: draws the points at which masks are compared.
    """

    def __init__(self, weights: dict[str, float], point_sampler: PointSampler) -> None:
        self.weights = weights
        self.point_sampler = point_sampler
        self.cls_cost = FocalLossCost(eps=1e-8)
        self.mask_cost = CrossEntropyLossCost()
        self.dice_cost = DiceCost(pred_act=True, eps=1.0)

    @torch.no_grad()
    def __call__(
        self,
        class_logits: Tensor,
        boxes: Tensor,
        mask_logits: Tensor | None,
        targets: Sequence[SegmentTargets],
    ) -> list[tuple[Tensor, Tensor]]:
        """Match one output of the network, image by image.

        Args:
            class_logits: (B, Q, C).
            boxes: (B, Q, 4) cx, cy, w, h as fractions.
            mask_logits: (B, Q, h, w); None to match by class and box alone.
            targets: of each image.

        Returns:
            of each image the matched queries, ascending, and their segments, (min(Q, n),) int64.
        """
        masks = [None] * len(targets) if mask_logits is None else mask_logits
        costs = [
            self.weighted_cost(*output)
            for output in zip(class_logits, boxes, masks, targets, strict=True)
        ]
        # all images in one transfer: the device stands still meanwhile
        on_cpu = torch.cat([cost.flatten() for cost in costs]).cpu()
        matches = []
        for cost, flat in zip(costs, on_cpu.split([cost.numel() for cost in costs]), strict=True):
            matched = linear_sum_assignment(flat.view_as(cost))
            matches.append(tuple(torch.as_tensor(index, device=cost.device) for index in matched))
        return matches

    def weighted_cost(
        self,
        class_logits: Tensor,
        boxes: Tensor,
        mask_logits: Tensor | None,
        target: SegmentTargets,
    ) -> Tensor:
        """(Q, n) sum of the weighted costs of one image."""
        costs = self.costs(class_logits, boxes, mask_logits, target)
        return sum(self.weights[name] * cost for name, cost in costs.items())

    def costs(
        self,
        class_logits: Tensor,
        boxes: Tensor,
        mask_logits: Tensor | None,
        target: SegmentTargets,
    ) -> dict[str, Tensor]:
        """The single costs of one image, (Q, n) each, unweighted; without masks none of them.

        One set of random points serves all queries and segments of the image.
        """
        predicted = InstanceData(scores=class_logits.float())
        wanted = InstanceData(labels=target.labels)
        of_masks = {}
        if mask_logits is not None:
            points = self.point_sampler.uniform(boxes.device)
            every = torch.arange(len(target), device=boxes.device)
            predicted.masks = sample_maps(mask_logits.float(), points)
            wanted.masks = sample_masks(target.masks, every, points)
            of_masks = dict(
                mask=self.mask_cost(predicted, wanted), dice=self.dice_cost(predicted, wanted)
            )
        giou = generalized_box_iou(
            bbox_cxcywh_to_xyxy(boxes.float())[:, None], bbox_cxcywh_to_xyxy(target.boxes)
        )
        return dict(
            cls=self.cls_cost(predicted, wanted),
            **of_masks,
            # The paper gives stuff the mean box cost of things. Any constant of a column leaves
            # the optimal assignment alone, so it is zero here.
            bbox=torch.cdist(boxes.float(), target.boxes, p=1) * target.boxed,
            iou=-giou * target.boxed,
        )
