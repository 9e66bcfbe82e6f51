"""Mask DINO R50, 24 epochs of COCO instances.

    bash tools/dist_train.sh configs/maskdino/maskdino_r50-hid2048_lsj-24e_coco.py 8

The model of maskdino_r50-hid2048_lsj-50e_coco.py. The authors released no config of this length; that the learning
rate drops at epoch 20 is what DINO (arXiv 2203.03605) does in 24 epochs.

Hardware: 8 GPUs x 2 images (for other totals, `--auto-scale-lr`), 15 GB each. Not yet trained here at full size.
"""
_base_ = ['./maskdino_r50-hid2048_lsj-12e_coco.py']

max_epochs = 24

param_scheduler = [dict(type='MultiStepLR', begin=0, end=max_epochs, by_epoch=True, milestones=[20], gamma=0.1)]
train_cfg = dict(max_epochs=max_epochs)
