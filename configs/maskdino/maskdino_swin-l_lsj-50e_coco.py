"""Mask DINO Swin-L with 5 scales, 50 epochs of COCO instances.

    bash tools/dist_train.sh configs/maskdino/maskdino_swin-l_lsj-50e_coco.py 8

Source: arXiv 2206.02777 and the authors' swin/maskdino_R50_bs16_50ep_4s_dowsample1_2048.yaml; the backbone comes from
ImageNet-22k.
The yaml's learning rate drops at 327778 and 355092 of 368750; the paper prints 0.9 and 0.95 of the run:
`--cfg-options 'param_scheduler.0.milestones=[331875,350312]'`.

Hardware: 8 GPUs x 2 images (for other totals, `--auto-scale-lr`); the authors say 60 GB each. Less with
`--cfg-options model.backbone.with_cp=True model.panoptic_head.pixel_decoder.with_cp=True
model.panoptic_head.decoder.with_cp=True`. They report 52.3 mask AP and 59.0 box AP; not yet trained here at full size.
"""
_base_ = ['_base_/models/maskdino_swin-l.py', '_base_/datasets/coco_instance_lsj.py', '_base_/schedules/50e.py']
