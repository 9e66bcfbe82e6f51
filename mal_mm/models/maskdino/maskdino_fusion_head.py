"""MaskDINOFusionHead: from queries to instances, panoptic and semantic maps.

Q queries, K class logits, C classes, H x W pixels of the result.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmdet.models.seg_heads import MaskFormerFusionHead
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmdet.structures.bbox import bbox_cxcywh_to_xyxy
from mmengine.structures import InstanceData, PixelData
from torch import Tensor

DEFAULTS = dict(
    instance_on=True,
    panoptic_on=False,
    semantic_on=False,
    max_per_image=100,
    object_mask_thr=0.25,
    iou_thr=0.8,
    filter_low_score=True,
    temperature=0.06,
)


@MODELS.register_module()
class MaskDINOFusionHead(MaskFormerFusionHead):
    """Results of one or several kinds out of a Mask DINO's predictions.

    Source: Mask DINO, arXiv 2206.02777, and its released settings; the panoptic
    fusion is MaskFormer's.
    Boxes are those of the box head, not of the masks.

    Args:
        num_things_classes, num_stuff_classes: as in the head.
        class_loss: what the class logits were trained with, see MaskDINOCriterion.
        test_cfg: `instance_on`, `panoptic_on`, `semantic_on`: which results (default: instances);
            `max_per_image` (100) instances; for panoptic maps `object_mask_thr` (0.25): lowest
            class score, `iou_thr` (0.8): smallest share of a mask that others leave visible,
            `filter_low_score` (True): only pixels with a mask probability of 0.5; `temperature`
            (0.06) sharpens the sigmoids for panoptic and semantic maps: softmax(sigmoid / it).
    """

    def __init__(
        self,
        num_things_classes: int = 80,
        num_stuff_classes: int = 0,
        class_loss: str = 'focal',
        test_cfg: dict | None = None,
    ) -> None:
        self.settings = {**DEFAULTS, **(test_cfg or {})}
        unknown = sorted(self.settings.keys() - DEFAULTS.keys())
        if unknown:
            raise ValueError(f'`test_cfg` has no {", ".join(unknown)}, only {", ".join(DEFAULTS)}')
        # its fusion gets only queries that have passed our threshold
        fusion_cfg = {**self.settings, 'object_mask_thr': 0.0}
        super().__init__(num_things_classes, num_stuff_classes, test_cfg=fusion_cfg)
        self.class_loss = class_loss

    def predict(
        self,
        class_logits: Tensor,
        boxes: Tensor,
        mask_logits: Tensor | None,
        batch_data_samples: Sequence[DetDataSample],
        rescale: bool = True,
    ) -> list[dict[str, InstanceData | PixelData]]:
        """Results of a batch.

        Args:
            class_logits: (B, Q, K).
            boxes: (B, Q, 4) cx, cy, w, h as fractions of the padded image.
            mask_logits: (B, Q, h, w) over the padded image; None: instances are boxes alone.
            batch_data_samples: with batch_input_shape, img_shape and ori_shape.
            rescale: True for results in the original image, False in the network's.

        Returns:
            of each image `ins_results`, `pan_results`, `sem_results`, those switched on.
        """
        results = []
        all_masks = [None] * len(boxes) if mask_logits is None else mask_logits
        for logits, image_boxes, masks, sample in zip(
            class_logits.float(), boxes.float(), all_masks, batch_data_samples, strict=True
        ):
            size_hw = sample.ori_shape[:2] if rescale else sample.img_shape[:2]
            result = {}
            if self.settings['instance_on']:
                result['ins_results'] = self.instances(logits, image_boxes, masks, sample, size_hw)
            if self.settings['panoptic_on']:
                result['pan_results'] = self.panoptic_map(logits, masks, sample, size_hw)
            if self.settings['semantic_on']:
                result['sem_results'] = self.semantic_map(logits, masks, sample, size_hw)
            results.append(result)
        return results

    def instances(
        self,
        class_logits: Tensor,
        boxes: Tensor,
        mask_logits: Tensor | None,
        sample: DetDataSample,
        size_hw: tuple[int, int],
    ) -> InstanceData:
        """The best pairs of query and class; class score times the mean probability of the mask.

        A query may stand for several classes; there is no suppression of overlapping ones.
        """
        scores = self._class_probs(class_logits)
        limit = min(self.settings['max_per_image'], scores.numel())
        scores, pair = scores.flatten().topk(limit)
        query, labels = pair // self.num_classes, pair % self.num_classes
        is_thing = labels < self.num_things_classes
        scores, query, labels = scores[is_thing], query[is_thing], labels[is_thing]
        # only once for each query, and before the resize: masks of all would fill the memory
        query, of_query = query.unique(return_inverse=True)
        instances = InstanceData(
            bboxes=rescale_boxes(boxes[query], sample, size_hw)[of_query],
            labels=labels,
            scores=scores,
        )
        if mask_logits is not None:
            logits = resize_masks(mask_logits[query], sample, size_hw)
            masks = logits > 0
            area = masks.flatten(1).sum(1)
            quality = (logits.sigmoid() * masks).flatten(1).sum(1) / (area + 1e-6)
            instances.scores = scores * quality[of_query]
            instances.masks = masks[of_query]
        return instances

    def panoptic_map(
        self,
        class_logits: Tensor,
        mask_logits: Tensor,
        sample: DetDataSample,
        size_hw: tuple[int, int],
    ) -> PixelData:
        """(1, H, W) class + 1000 * instance, or the number of classes where there is nothing."""
        if self.class_loss == 'focal':
            probs = class_logits.sigmoid()
            # their softmax is what the fusion takes; the threshold is meant for the sigmoids
            fusion_logits = probs / self.settings['temperature']
        else:
            probs, fusion_logits = class_logits.softmax(-1), class_logits
        scores, labels = probs.max(-1)
        keep = (scores > self.settings['object_mask_thr']) & (labels < self.num_classes)
        masks = resize_masks(mask_logits[keep], sample, size_hw)
        return self.panoptic_postprocess(fusion_logits[keep], masks)

    def semantic_map(
        self,
        class_logits: Tensor,
        mask_logits: Tensor,
        sample: DetDataSample,
        size_hw: tuple[int, int],
    ) -> PixelData:
        """(1, H, W) class with the largest sum over queries of class times mask probability."""
        probs = self._class_probs(class_logits)
        if self.class_loss == 'focal':
            probs = (probs / self.settings['temperature']).softmax(-1)
        masks = resize_masks(mask_logits, sample, size_hw).sigmoid()
        return PixelData(sem_seg=torch.einsum('qc,qhw->chw', probs, masks).argmax(0)[None])

    def _class_probs(self, class_logits: Tensor) -> Tensor:
        """(Q, C) probabilities of the classes, without "no object"."""
        if self.class_loss == 'focal':
            return class_logits.sigmoid()
        return class_logits.softmax(-1)[..., :-1]


def resize_masks(logits: Tensor, sample: DetDataSample, size_hw: tuple[int, int]) -> Tensor:
    """Mask logits (N, h, w) of the padded image -> float32 (N, H, W) of the image without padding.

    Bilinear to the network's input, padding cut off, bilinear to `size_hw`.
    """
    logits = _bilinear(logits.float(), sample.batch_input_shape)
    height, width = sample.img_shape[:2]
    return _bilinear(logits[:, :height, :width], size_hw)


def rescale_boxes(boxes: Tensor, sample: DetDataSample, size_hw: tuple[int, int]) -> Tensor:
    """Boxes (N, 4) cx, cy, w, h as fractions of the padded image -> pixels x0, y0, x1, y1."""
    H, W = sample.batch_input_shape
    height, width = sample.img_shape[:2]
    boxes = bbox_cxcywh_to_xyxy(boxes) * boxes.new_tensor([W, H, W, H])
    limit = boxes.new_tensor([width, height, width, height])
    scale = boxes.new_tensor([size_hw[1], size_hw[0]] * 2) / limit
    return boxes.clamp(min=0).minimum(limit) * scale


def _bilinear(maps: Tensor, size_hw: tuple[int, int]) -> Tensor:
    if not len(maps):
        return maps.new_zeros(0, *size_hw)
    return F.interpolate(maps[:, None], size_hw, mode='bilinear', align_corners=False)[:, 0]
