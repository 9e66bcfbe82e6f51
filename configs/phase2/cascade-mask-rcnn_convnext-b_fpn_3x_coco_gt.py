"""Cascade Mask R-CNN ConvNeXt-B on human masks (Table 1); MMDetection has -T and -S only.

    bash tools/dist_train.sh configs/phase2/cascade-mask-rcnn_convnext-b_fpn_3x_coco_gt.py 8

Differs from MMDetection's ConvNeXt-S config as the authors' base differs from their small one (ImageNet-1k): width,
drop path 0.7, layer-wise decay 0.8 (https://github.com/facebookresearch/ConvNeXt, object_detection/configs/convnext/
cascade_mask_rcnn_convnext_base_..._3x_coco_in1k.py; 0.6 and 0.7 are its small one's). The weights are mmpretrain's
copy of the authors' convnext_base_1k_224.pth.

Hardware: 8 GPUs x 2 images (for other totals, `--auto-scale-lr`), mixed precision, 36 epochs. The authors report 45.6
mask AP and 52.7 box AP; MMDetection's model zoo has no such model, and it is not yet trained here at full size.
"""
_base_ = ['mmdet::convnext/cascade-mask-rcnn_convnext-s-p4-w7_fpn_4conv1fc-giou_amp-ms-crop-3x_coco.py']
custom_imports = dict(imports=['mmpretrain.models', 'mal_mm'], allow_failed_imports=False)

checkpoint_file = 'https://download.openmmlab.com/mmclassification/v0/convnext/convnext-base_3rdparty_32xb128-noema_in1k_20220222-dba4f95f.pth'  # noqa

model = dict(
    backbone=dict(arch='base', drop_path_rate=0.7, init_cfg=dict(checkpoint=checkpoint_file)),
    neck=dict(in_channels=[128, 256, 512, 1024]))

optim_wrapper = dict(paramwise_cfg=dict(decay_rate=0.8))
