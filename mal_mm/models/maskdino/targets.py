"""What a Mask DINO image is trained on: labels, boxes and masks of its segments.

n segments of an image, H x W pixels of the padded batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import torch
from mmdet.structures import DetDataSample
from mmdet.structures.bbox import bbox_xyxy_to_cxcywh
from mmdet.structures.mask import mask2bbox
from torch import Tensor


@dataclass(frozen=True)
class SegmentTargets:
    """Segments of one image.

    Args:
        labels: (n,) int64 classes.
        boxes: (n, 4) cx, cy, w, h as fractions of the padded image.
        masks: (n, H, W) uint8 0 or 1; None where boxes alone are learned.
        boxed: (n,) bool, False where the box is neither matched nor learned (stuff).
    """

    labels: Tensor
    boxes: Tensor
    masks: Tensor | None
    boxed: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    @classmethod
    def cat(cls, parts: Sequence[SegmentTargets]) -> SegmentTargets:
        """The segments of all parts, one after the other."""
        columns = [[getattr(part, field.name) for part in parts] for field in fields(cls)]
        return cls(*(None if column[0] is None else torch.cat(column) for column in columns))


def segment_targets(
    data_sample: DetDataSample,
    num_things_classes: int,
    num_stuff_classes: int,
    stuff_boxes: bool,
    device: torch.device,
    with_mask: bool = True,
) -> SegmentTargets:
    """Targets of one image: its instances, and a mask of each stuff class in the semantic map.

    Source: Mask DINO, arXiv 2206.02777, section 3.4 (boxes of stuff are left out). Boxes are
    fractions of the padded image, because no padding mask reaches the network; the masks' points
    and the predicted boxes at inference are the same fractions.

    Args:
        data_sample: of the DetDataPreprocessor with pad_mask (things) and pad_seg (stuff);
            gt_instances for things, gt_sem_seg for stuff.
        num_things_classes, num_stuff_classes: labels below the first are things, those from there
            up to the sum are stuff, other values of the semantic map are void.
        stuff_boxes: True to match and learn the boxes of stuff too.
        device: where the targets go.
        with_mask: False for a model of boxes alone: things need no masks, nor do they get any.

    Raises:
        ValueError: the annotations are missing, or not padded to the batch.
    """
    H, W = data_sample.batch_input_shape
    parts = []
    if num_things_classes:
        parts.append(_instances(data_sample, device, with_mask))
        if with_mask:
            _check_padded(parts[-1].masks, (H, W), 'gt_instances.masks', 'pad_mask')
    if num_stuff_classes:
        parts.append(
            _stuff(data_sample, num_things_classes, num_stuff_classes, stuff_boxes, device)
        )
        _check_padded(parts[-1].masks, (H, W), 'gt_sem_seg', 'pad_seg')
    segments = SegmentTargets.cat(parts)
    boxes = bbox_xyxy_to_cxcywh(segments.boxes / segments.boxes.new_tensor([W, H, W, H]))
    return replace(segments, boxes=boxes)


def _instances(
    data_sample: DetDataSample, device: torch.device, with_mask: bool
) -> SegmentTargets:
    """Things, their boxes still in pixels x0, y0, x1, y1."""
    instances = data_sample.gt_instances
    if with_mask and 'masks' not in instances:
        raise ValueError(
            f'`gt_instances` has no masks, only {sorted(instances.keys())}; load them with '
            'LoadAnnotations(with_bbox=True, with_mask=True)'
        )
    labels = instances.labels.to(device)
    return SegmentTargets(
        labels=labels,
        boxes=torch.as_tensor(instances.bboxes, dtype=torch.float32, device=device),
        masks=instances.masks.to_tensor(torch.uint8, device) if with_mask else None,
        boxed=torch.ones_like(labels, dtype=torch.bool),
    )


def _stuff(
    data_sample: DetDataSample,
    num_things_classes: int,
    num_stuff_classes: int,
    stuff_boxes: bool,
    device: torch.device,
) -> SegmentTargets:
    """Stuff, boxes in pixels x0, y0, x1, y1 with the right and bottom edge after the last cell."""
    if 'gt_sem_seg' not in data_sample:
        raise ValueError(
            f'`num_stuff_classes` (={num_stuff_classes}) needs `gt_sem_seg`; load it with '
            'LoadPanopticAnnotations or LoadAnnotations(with_seg=True)'
        )
    semantic_map = data_sample.gt_sem_seg.sem_seg.to(device).squeeze(0)
    labels = semantic_map.unique().long()
    first, last = num_things_classes, num_things_classes + num_stuff_classes - 1
    labels = labels[(labels >= first) & (labels <= last)]
    masks = semantic_map == labels[:, None, None]
    return SegmentTargets(
        labels=labels,
        boxes=mask2bbox(masks).float(),
        masks=masks.to(torch.uint8),
        boxed=torch.full_like(labels, stuff_boxes, dtype=torch.bool),
    )


def _check_padded(masks: Tensor, size_hw: tuple[int, int], what: str, switch: str) -> None:
    if tuple(masks.shape[-2:]) != tuple(size_hw):
        raise ValueError(
            f'`{what}` must be padded to the batch, {tuple(size_hw)} (H, W), got '
            f'{tuple(masks.shape[-2:])}; set {switch}=True in the data_preprocessor'
        )
