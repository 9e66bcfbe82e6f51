"""Mask DINO R50, 12 epochs of COCO instances.

    bash tools/dist_train.sh configs/maskdino/maskdino_r50-hid2048_lsj-12e_coco.py 8

The model of maskdino_r50-hid2048_lsj-50e_coco.py. The authors released no config of this length; the drop of the learning
rate at epoch 11 is that of arXiv 2206.02777, App. B.1.

Hardware: 8 GPUs x 2 images (for other totals, `--auto-scale-lr`), 15 GB each. Not yet trained here at full size.
"""
_base_ = ['_base_/models/maskdino_r50.py', '_base_/datasets/coco_instance_lsj.py', '_base_/schedules/12e.py']
