"""Mask DINO Swin-L with 5 scales, 50 epochs of COCO panoptic.

    bash tools/dist_train.sh configs/maskdino/maskdino_swin-l_lsj-50e_coco-panoptic.py 8

Source: arXiv 2206.02777 and the authors' panoptic Swin-L yaml.
The yaml's learning rate drops at 327778 and 355092 of 368750; the paper prints 0.9 and 0.95 of the run:
`--cfg-options 'param_scheduler.0.milestones=[331875,350312]'`.

Hardware: 8 GPUs x 2 images (for other totals, `--auto-scale-lr`); the authors say 60 GB each, for less see
maskdino_swin-l_lsj-50e_coco.py. They report 58.3 PQ; not yet trained here at full size.
"""
_base_ = ['_base_/models/maskdino_swin-l.py', '_base_/datasets/coco_panoptic_lsj.py', '_base_/schedules/50e.py']

model = _base_.panoptic_model
