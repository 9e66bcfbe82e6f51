"""Mask DINO R50, 50 epochs of COCO panoptic.

    bash tools/dist_train.sh configs/maskdino/maskdino_r50_lsj-50e_coco-panoptic.py 8

Source: arXiv 2206.02777 and the authors' panoptic maskdino_R50_bs16_50ep_3s_dowsample1_2048.yaml: boxes start from
what the tokens regress, and stuff has no boxes.
The yaml's learning rate drops at 327778 and 355092 of 368750; the paper prints 0.9 and 0.95 of the run:
`--cfg-options 'param_scheduler.0.milestones=[331875,350312]'`.

Hardware: 8 GPUs x 2 images (for other totals, `--auto-scale-lr`); the authors say 15 GB each, 3 days. They report 53.0
PQ; not yet trained here at full size.
"""
_base_ = ['_base_/models/maskdino_r50.py', '_base_/datasets/coco_panoptic_lsj.py', '_base_/schedules/50e.py']

model = _base_.panoptic_model
