"""Mask DINO Swin-L as a detector: 26 epochs of boxes alone on Objects365, before learning masks elsewhere.

    NNODES=8 bash tools/dist_train.sh configs/maskdino/maskdino_swin-l_26e_objects365-boxes.py 8

on each of 8 machines, with NODE_RANK and MASTER_ADDR set. The last checkpoint is the `load_from` of
maskdino_swin-l_lsj-1280-24e_objects365-coco.py and the other configs with objects365 in their names.
Data: Objects365 v2 in data/Objects365/Obj365_v2/, as MMDetection's objects365v2_detection.py says.

Source: arXiv 2206.02777, App. C ("the same setting of DINO"); DINO, arXiv 2203.03605, App. D.2 to D.4: 26 epochs, 64 GPUs
with an image each, learning rate 1e-4, weight decay 1e-4, clipping at 0.1, 900 queries, 1000 denoising queries, mixed
precision, recomputation of layers, short sides of 480 to 800. Architecture, loss weights and denoising noise are Mask
DINO's. Neither paper prints when the learning rate drops (here at epoch 24) or how a batch of 64 changes it (here not).

Hardware: 64 GPUs x 1 image (for other totals, `--auto-scale-lr`). No score is published; not yet trained here at full
size.
"""
_base_ = ['_base_/models/maskdino_swin-l.py', '_base_/datasets/objects365v2_boxes.py', '_base_/schedules/12e.py']

max_epochs = 26

model = _base_.detection_model
model.backbone = dict(with_cp=True)
model.panoptic_head.pixel_decoder = dict(with_cp=True)
model.panoptic_head.decoder.update(num_queries=900, with_cp=True)
model.panoptic_head.denoising = dict(dn_num=1000)

optim_wrapper = dict(optimizer=dict(weight_decay=1e-4), clip_grad=dict(max_norm=0.1))
param_scheduler = [dict(type='MultiStepLR', begin=0, end=max_epochs, by_epoch=True, milestones=[24], gamma=0.1)]
train_cfg = dict(max_epochs=max_epochs)
auto_scale_lr = dict(base_batch_size=64)
