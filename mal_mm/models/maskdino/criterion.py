"""Losses of Mask DINO: of every layer's matched queries, the selected tokens and denoising.

B images, S queries (matching or denoising ones), C class logits, N pairs of query and segment, P
points.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from mmdet.models.losses import FocalLoss
from mmdet.models.losses.dice_loss import dice_loss
from mmdet.structures.bbox import bbox_cxcywh_to_xyxy
from mmdet.utils import reduce_mean
from torch import Tensor, nn

from .decoder_output import DecoderOutput
from .denoising import DenoisingQueries
from .mask_points import PointSampler, sample_maps, sample_masks
from .matching import HybridMatcher, generalized_box_iou
from .targets import SegmentTargets

CLASS_LOSSES = ('focal', 'cross_entropy')


# class logits, boxes, mask logits
Layer = tuple[Tensor, Tensor, Tensor | None]


class Pairs(NamedTuple):
    """N queries and what each is to find: image, query of it, segment of the batch, (N,) each."""

    image: Tensor
    query: Tensor
    segment: Tensor


class MaskDINOCriterion(nn.Module):
    """Matches each output of the network with the targets and measures it.

    Source: Mask DINO, arXiv 2206.02777, section 3; weights and points of the released configs.
    The weights serve the matching costs and the losses alike, of all layers.

    Args:
        num_classes: of things and stuff, without the "no object" of cross entropy.
        class_loss: 'focal': C = num_classes sigmoids; 'cross_entropy': softmax over
            C = num_classes + 1, the last one "no object".
        cls_weight, mask_weight, dice_weight, bbox_weight, iou_weight: see above.
        no_object_weight: of "no object" in the cross entropy.
        point_sampler: dict of PointSampler's arguments.
    """

    def __init__(
        self,
        num_classes: int,
        class_loss: str = 'focal',
        cls_weight: float = 4.0,
        mask_weight: float = 5.0,
        dice_weight: float = 5.0,
        bbox_weight: float = 5.0,
        iou_weight: float = 2.0,
        no_object_weight: float = 0.1,
        point_sampler: dict | None = None,
    ) -> None:
        super().__init__()
        if class_loss not in CLASS_LOSSES:
            raise ValueError(f'`class_loss` must be one of {CLASS_LOSSES}, got {class_loss!r}')
        self.num_classes = num_classes
        self.class_loss = class_loss
        self.no_object_weight = no_object_weight
        self.weights = dict(
            cls=cls_weight, mask=mask_weight, dice=dice_weight, bbox=bbox_weight, iou=iou_weight
        )
        self.point_sampler = PointSampler(**(point_sampler or {}))
        self.matcher = HybridMatcher(self.weights, self.point_sampler)
        self.focal_loss = FocalLoss(gamma=2.0, alpha=0.25, reduction='sum')

    def forward(
        self,
        output: DecoderOutput,
        targets: Sequence[SegmentTargets],
        denoising: DenoisingQueries,
    ) -> dict[str, Tensor]:
        """Weighted losses, in float32 also under AMP.

        Args:
            output: of the decoder, denoising queries first.
            targets: of each image.
            denoising: what those queries were made of.

        Returns:
            Scalars loss_cls, loss_mask, loss_dice, loss_bbox and loss_iou of the last layer, with
            `d0.` ... before the name for the layers before it (d0: the queries as they enter),
            `enc_` for the selected tokens and `dn_` for the denoising queries. The latter are zero
            where denoising is off for this batch. A model of boxes alone has no mask and dice.
        """
        with torch.autocast(output.boxes[-1].device.type, enabled=False):
            return self._losses(output, targets, denoising)

    def _losses(
        self,
        output: DecoderOutput,
        targets: Sequence[SegmentTargets],
        denoising: DenoisingQueries,
    ) -> dict[str, Tensor]:
        counts = [len(target) for target in targets]
        segments = SegmentTargets.cat(targets)
        first_segment = segments.labels.new_tensor([0, *counts[:-1]]).cumsum(0)
        # a tensor: reading it would make the device wait
        num_segments = reduce_mean(segments.boxes.new_tensor([sum(counts)])).clamp(min=1)[0]

        def matched(prediction: Layer) -> dict[str, Tensor]:
            pairs = self._match(prediction, targets, first_segment)
            return self.losses(prediction, segments, pairs, num_segments)

        P = denoising.num_slots
        restored = Pairs(
            denoising.image_index,
            denoising.slot,
            first_segment[denoising.image_index] + denoising.target_index,
        )
        losses: dict[str, Tensor] = {}
        layers = list(zip(output.class_logits, output.boxes, output.mask_logits, strict=True))
        for number, layer in enumerate(layers):
            prefix = f'd{number}.' if number < len(layers) - 1 else ''
            losses |= _named(prefix, matched(_queries(layer, slice(P, None))))
            # what enters the decoder of a one-stage model is learned: it says nothing of the noise
            if number > 0 or output.selection is not None:
                restored_losses = self.losses(
                    _queries(layer, slice(P)),
                    segments,
                    restored,
                    num_segments * max(denoising.num_groups, 1),
                )
                losses |= _named(f'{prefix}dn_', restored_losses)
        if output.selection is not None:
            losses |= _named('enc_', matched(output.selection))
        return losses

    def _match(
        self,
        prediction: Layer,
        targets: Sequence[SegmentTargets],
        first_segment: Tensor,
    ) -> Pairs:
        matches = self.matcher(*prediction, targets)
        parts = [
            (torch.full_like(query, image), query, segment + first_segment[image])
            for image, (query, segment) in enumerate(matches)
        ]
        return Pairs(*(torch.cat(column) for column in zip(*parts, strict=True)))

    def losses(
        self,
        prediction: Layer,
        segments: SegmentTargets,
        pairs: Pairs,
        num_segments: Tensor,
    ) -> dict[str, Tensor]:
        """Weighted losses of one output.

        Args:
            prediction: class logits (B, S, C), boxes (B, S, 4) cx, cy, w, h as fractions, mask
                logits (B, S, h, w) or None.
            segments: of the whole batch.
            pairs: which query is to find which segment; the others none.
            num_segments: the sums are divided by it.

        Returns:
            Scalars cls, mask, dice, bbox, iou; without mask logits no mask and dice.
        """
        class_logits, boxes, mask_logits = prediction
        image, query, segment = pairs
        labels = torch.full_like(class_logits[..., 0], self.num_classes, dtype=torch.long)
        labels[image, query] = segments.labels[segment]
        sums = {}
        if mask_logits is not None:
            mask_losses, dice_losses = self.mask_losses(
                mask_logits[image, query].float(), segments.masks, segment
            )
            sums = dict(mask=mask_losses.sum(), dice=dice_losses.sum())
        box_losses, iou_losses = box_losses_of(
            boxes[image, query].float(), segments.boxes[segment]
        )
        boxed = segments.boxed[segment]
        sums |= dict(bbox=(box_losses * boxed).sum(), iou=(iou_losses * boxed).sum())
        values = dict(
            cls=self._class_loss(
                class_logits.float().flatten(0, 1), labels.flatten(), num_segments
            ),
            **{name: total / num_segments for name, total in sums.items()},
        )
        return {name: self.weights[name] * value for name, value in values.items()}

    def _class_loss(self, logits: Tensor, labels: Tensor, num_segments: Tensor) -> Tensor:
        """Scalar class loss of logits (B * S, C), `num_classes` in labels being "no object"."""
        if self.class_loss == 'focal':
            one_hot = F.one_hot(labels, self.num_classes + 1)[:, :-1]
            return self.focal_loss(logits, one_hot) / num_segments
        class_weights = logits.new_ones(self.num_classes + 1)
        class_weights[-1] = self.no_object_weight
        total = F.cross_entropy(logits, labels, class_weights, reduction='sum')
        # not reduction='mean': without any query that is 0 / 0
        return total / class_weights[labels].sum().clamp(min=torch.finfo(total.dtype).tiny)

    def mask_losses(
        self, mask_logits: Tensor, masks: Tensor, segment: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Cross entropy and dice loss (N,) of masks at points.

        Args:
            mask_logits: (N, h, w).
            masks: (n, H, W) uint8 of all segments.
            segment: (N,) which of them.
        """
        points = self.point_sampler.uncertain(mask_logits)
        point_logits = sample_maps(mask_logits, points)
        point_targets = sample_masks(masks, segment, points)
        cross_entropy = F.binary_cross_entropy_with_logits(
            point_logits, point_targets, reduction='none'
        )
        dice = dice_loss(
            point_logits.sigmoid(), point_targets, eps=1.0, naive_dice=True, reduction='none'
        )
        return cross_entropy.mean(1), dice


def box_losses_of(boxes: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
    """L1 and GIoU loss (N,) of boxes (N, 4) cx, cy, w, h."""
    giou = generalized_box_iou(bbox_cxcywh_to_xyxy(boxes), bbox_cxcywh_to_xyxy(wanted))
    return (boxes - wanted).abs().sum(1), 1 - giou


def _queries(layer: Layer, which: slice) -> Layer:
    logits, boxes, masks = layer
    return logits[:, which], boxes[:, which], None if masks is None else masks[:, which]


def _named(prefix: str, values: dict[str, Tensor]) -> dict[str, Tensor]:
    return {f'{prefix}loss_{name}': value for name, value in values.items()}
