"""Denoising queries: noised labels and boxes of the targets, to be restored.

B images, Q matching queries, G groups, P = G * (most segments of an image) denoising slots, K real
ones among the B * P, in the order group, image, segment.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from mmdet.models.layers import inverse_sigmoid
from torch import Tensor

from .targets import SegmentTargets


@dataclass(frozen=True)
class DenoisingNoise:
    """The random draws behind a batch of denoising queries.

    Args:
        label_draws: (K,) uniform in [0, 1); the label is replaced where small.
        new_labels: (K,) int64 replacements, uniform over all classes.
        box_draws: (K, 4) uniform in [0, 1); 0.5 leaves the coordinate alone.
    """

    label_draws: Tensor
    new_labels: Tensor
    box_draws: Tensor

    @classmethod
    def draw(cls, num: int, num_classes: int, device: torch.device) -> DenoisingNoise:
        """Fresh noise for `num` queries."""
        return cls(
            label_draws=torch.rand(num, device=device),
            new_labels=torch.randint(num_classes, (num,), device=device),
            box_draws=torch.rand(num, 4, device=device),
        )


@dataclass(frozen=True)
class DenoisingQueries:
    """Denoising queries of a batch, to be put before the matching queries.

    Args:
        labels: (B, P) int64 noised labels, -1 = empty slot (its content is zero).
        boxes_unsig: (B, P, 4) noised cx, cy, w, h before the sigmoid, zero in empty slots.
        attn_mask: (P + Q, P + Q) bool, True where the row's query must not attend the column's.
        num_groups: G; 0 where denoising is off for this batch (P = 0 then).
        image_index, slot, target_index: (K,) int64; query `slot` of image `image_index` is to
            restore that image's segment `target_index`.
    """

    labels: Tensor
    boxes_unsig: Tensor
    attn_mask: Tensor
    num_groups: int
    image_index: Tensor
    slot: Tensor
    target_index: Tensor

    @property
    def num_slots(self) -> int:
        """P."""
        return self.labels.shape[1]


class QueryDenoising:
    """Makes denoising queries of a batch's targets.

    Source: Mask DINO, arXiv 2206.02777, section 3.3 (unified denoising); DN-DETR for the groups.

    Args:
        num_classes: C.
        num_queries: Q.
        dn_num: about so many denoising queries an image: as many whole groups as fit; none where
            an image has more segments than this.
        noise_scale: labels are replaced with probability noise_scale / 2, centres move by up to
            noise_scale / 2 of the box's sides, sides change by up to noise_scale of themselves.
    """

    def __init__(
        self, num_classes: int, num_queries: int, dn_num: int = 100, noise_scale: float = 0.4
    ) -> None:
        if not 0 <= noise_scale <= 1:
            raise ValueError(f'`noise_scale` must be within 0 and 1, got {noise_scale}; use 0.4')
        self.num_classes = num_classes
        self.num_queries = num_queries
        self.dn_num = dn_num
        self.noise_scale = noise_scale

    def __call__(
        self, targets: Sequence[SegmentTargets], noise: DenoisingNoise | None = None
    ) -> DenoisingQueries:
        """Denoising queries for these targets.

        Args:
            targets: of each image.
            noise: draws to use; None: fresh ones.
        """
        device = targets[0].labels.device
        most = max(len(target) for target in targets)
        G = self.dn_num // most if most else 0
        P = G * most
        image_index, target_index = (
            torch.tensor(index, dtype=torch.long, device=device).repeat(G)
            for index in _image_and_target([len(target) for target in targets])
        )
        group = torch.arange(G, device=device).repeat_interleave(len(image_index) // max(G, 1))
        slot = group * most + target_index
        clean_labels = torch.cat([target.labels for target in targets]).repeat(G)
        clean_boxes = torch.cat([target.boxes for target in targets]).repeat(G, 1)
        noise = noise or DenoisingNoise.draw(len(slot), self.num_classes, device)

        labels = clean_labels.new_full((len(targets), P), -1)
        labels[image_index, slot] = self.noised_labels(clean_labels, noise)
        boxes_unsig = clean_boxes.new_zeros(len(targets), P, 4)
        boxes_unsig[image_index, slot] = inverse_sigmoid(
            self.noised_boxes(clean_boxes, noise), eps=1e-5
        )
        return DenoisingQueries(
            labels=labels,
            boxes_unsig=boxes_unsig,
            attn_mask=denoising_attn_mask(G, most if G else 0, self.num_queries, device),
            num_groups=G,
            image_index=image_index,
            slot=slot,
            target_index=target_index,
        )

    def noised_labels(self, labels: Tensor, noise: DenoisingNoise) -> Tensor:
        """(K,) labels, some replaced (perhaps by the same one)."""
        replaced = noise.label_draws < 0.5 * self.noise_scale
        return torch.where(replaced, noise.new_labels, labels)

    def noised_boxes(self, boxes: Tensor, noise: DenoisingNoise) -> Tensor:
        """(K, 4) boxes cx, cy, w, h within [0, 1], jittered."""
        reach = torch.cat([boxes[:, 2:] / 2, boxes[:, 2:]], dim=1)
        return (boxes + (2 * noise.box_draws - 1) * reach * self.noise_scale).clamp(0, 1)


def denoising_attn_mask(
    num_groups: int, group_size: int, num_queries: int, device: torch.device | str = 'cpu'
) -> Tensor:
    """Who must not see whom, (P + Q, P + Q) bool.

    Matching queries do not see denoising ones, for those tell the solution, nor does a group see
    another. Denoising queries see the matching ones.
    """
    group = torch.arange(num_groups, device=device).repeat_interleave(group_size)
    matching = group.new_full((num_queries,), -1)
    group = torch.cat([group, matching])
    return (group[:, None] != group) & (group >= 0)


def _image_and_target(counts: Sequence[int]) -> tuple[list[int], list[int]]:
    """Image and number within the image of every segment of the batch."""
    pairs = [(image, target) for image, count in enumerate(counts) for target in range(count)]
    return [image for image, _ in pairs], [target for _, target in pairs]
