"""Mask DINO R50, 50 epochs of COCO instances: the authors' default (4 levels, encoder with 2048 hidden channels).

    bash tools/dist_train.sh configs/maskdino/maskdino_r50-hid2048_lsj-50e_coco.py 8

Source: arXiv 2206.02777 and the authors' maskdino_R50_bs16_50ep_3s_dowsample1_2048.yaml. A twin yaml starts the boxes
from masks by the slower 'bitmask' instead: `--cfg-options model.panoptic_head.decoder.box_init=bitmask`.
The yaml's learning rate drops at 327778 and 355092 of 368750; the paper prints 0.9 and 0.95 of the run:
`--cfg-options 'param_scheduler.0.milestones=[331875,350312]'`.

Hardware: 8 GPUs x 2 images (for other totals, `--auto-scale-lr`); the authors say 15 GB each, 3 days. They report 46.3
mask AP and 51.7 box AP; not yet trained here at full size.
"""
_base_ = ['_base_/models/maskdino_r50.py', '_base_/datasets/coco_instance_lsj.py', '_base_/schedules/50e.py']
