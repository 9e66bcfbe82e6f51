"""Mask DINO Swin-L, 24 epochs of COCO panoptic at 1280 x 1280, after detection pretraining on Objects365.

    NNODES=2 bash tools/dist_train.sh configs/maskdino/maskdino_swin-l_lsj-1280-24e_objects365-coco-panoptic.py 8 \\
        --cfg-options load_from=DETECTOR.pth

on both of two machines. DETECTOR.pth and the sizes are those of maskdino_swin-l_lsj-1280-24e_objects365-coco.py.

Source: arXiv 2206.02777, App. C, and App. B.1 for the drop at epoch 20 of 24. The authors released neither config nor
weights of this run.

Hardware: 16 GPUs x 1 image (for other totals, `--auto-scale-lr`; for less memory see maskdino_swin-l_lsj-50e_coco.py).
The paper reports 59.5 PQ on test-dev; not yet trained here at full size.
"""
_base_ = ['_base_/models/maskdino_swin-l.py', '_base_/datasets/coco_panoptic_lsj.py', '_base_/schedules/24e.py']

load_from = 'checkpoints/maskdino_swin-l_objects365-boxes.pth'

image_size = (1280, 1280)

model = _base_.panoptic_model
model.data_preprocessor.batch_augments[0].size = image_size  # BatchFixedSizePad
model.backbone = dict(init_cfg=None)  # it comes with `load_from`

train_pipeline = _base_.train_pipeline
train_pipeline[3].scale = image_size  # RandomResize
train_pipeline[4].crop_size = image_size  # RandomCrop
train_dataloader = dict(batch_size=1, dataset=dict(pipeline=train_pipeline))

test_pipeline = _base_.test_pipeline
test_pipeline[1].scale = (1600, 960)  # Resize
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
