"""A Mask DINO for each task, and a batch for it, small enough to train in a test."""

from __future__ import annotations

import numpy as np
import torch
from mmdet.structures import DetDataSample
from mmdet.structures.mask import BitmapMasks
from mmengine.config import ConfigDict
from mmengine.structures import InstanceData, PixelData

# (number of classes of things, of stuff)
TASKS = {'instance': (3, 0), 'panoptic': (2, 2), 'semantic': (0, 4)}
TINY_PIXEL_DECODER = dict(
    feat_channels=32, mask_channels=32, num_layers=1, num_heads=4, feedforward_channels=32
)
TINY_DECODER = dict(
    num_queries=12,
    num_layers=2,
    embed_dims=32,
    mask_channels=32,
    num_heads=4,
    feedforward_channels=32,
)
VOID = 255


def model_config(task: str = 'instance', **head: object) -> ConfigDict:
    """Config of a MaskDINO with 12 queries; `head` goes over the entries of its head.

    The semantic one is made like the released ones: one stage, cross entropy, boxes of stuff.
    """
    things, stuff = TASKS[task]
    semantic = task == 'semantic'
    panoptic_head = dict(
        type='MaskDINOHead',
        num_things_classes=things,
        num_stuff_classes=stuff,
        pixel_decoder=dict(TINY_PIXEL_DECODER, in_channels=(8, 16, 32, 64)),
        decoder=dict(
            TINY_DECODER, two_stage=not semantic, box_init='no' if semantic else 'bitmask'
        ),
        denoising=dict(dn_num=6),
        criterion=dict(
            class_loss='cross_entropy' if semantic else 'focal',
            point_sampler=dict(num_points=256),
        ),
        stuff_boxes=semantic,
    )
    return ConfigDict(
        type='MaskDINO',
        data_preprocessor=dict(
            type='DetDataPreprocessor',
            mean=[123.675, 116.28, 103.53],
            std=[58.395, 57.12, 57.375],
            bgr_to_rgb=True,
            pad_size_divisor=32,
            pad_mask=True,
            pad_seg=stuff > 0,
            seg_pad_value=VOID,
        ),
        backbone=dict(type='ResNet', depth=18, base_channels=8, norm_eval=True),
        panoptic_head={**panoptic_head, **head},
        test_cfg=dict(
            instance_on=things > 0,
            panoptic_on=task == 'panoptic',
            semantic_on=stuff > 0,
            max_per_image=10,
            object_mask_thr=0.0,  # an untrained network is sure of nothing
            iou_thr=0.0,
        ),
    )


def data_batch(task: str = 'instance', num_objects: tuple[int, ...] = (2, 1)) -> dict:
    """Images of different sizes, as a data loader gives them: grey, with coloured rectangles.

    Objects are things, or stuff where there are none; the background is the last stuff class,
    the first column void.
    """
    things, stuff = TASKS[task]
    samples, inputs = [], []
    for image, count in enumerate(num_objects):
        H, W = 64 - 10 * image, 80 - 20 * image
        pixels = torch.full((3, H, W), 90, dtype=torch.uint8)
        masks = np.zeros((count, H, W), np.uint8)
        labels = torch.arange(count) % (things or stuff - 1)
        semantic_map = torch.full((1, H, W), things + stuff - 1, dtype=torch.uint8)
        boxes = torch.zeros(count, 4)
        for i in range(count):
            x0, y0, x1, y1 = 4 + 20 * i, 6 + 8 * i, 22 + 20 * i, 30 + 8 * i
            masks[i, y0:y1, x0:x1] = 1
            pixels[int(labels[i]) % 3, y0:y1, x0:x1] = 250
            semantic_map[0, y0:y1, x0:x1] = labels[i]
            boxes[i] = torch.tensor([x0, y0, x1, y1])
        semantic_map[..., 0] = VOID
        sample = DetDataSample(
            metainfo=dict(img_id=image, img_shape=(H, W), ori_shape=(2 * H, 2 * W))
        )
        # PackDetInputs leaves it without fields where no instances are loaded
        sample.gt_instances = InstanceData()
        if things:
            sample.gt_instances = InstanceData(
                bboxes=boxes, labels=labels, masks=BitmapMasks(masks, H, W)
            )
        if stuff:
            sample.gt_sem_seg = PixelData(sem_seg=semantic_map)
        inputs.append(pixels)
        samples.append(sample)
    return dict(inputs=inputs, data_samples=samples)
