"""Mask DINO Swin-L, 24 epochs of COCO instances at 1280 x 1280, after detection pretraining on Objects365.

    NNODES=2 bash tools/dist_train.sh configs/maskdino/maskdino_swin-l_lsj-1280-24e_objects365-coco.py 8 \\
        --cfg-options load_from=DETECTOR.pth

on both of two machines. DETECTOR.pth is a checkpoint of maskdino_swin-l_26e_objects365-boxes.py, or of any Mask DINO with
such a backbone. Tensors go by name: those of another shape, such as `class_embed` and `label_enc` of 365 classes, and
those that the file lacks, such as the mask heads, keep their initialisation, and the log lists them. Of a DINO of mmdet
only the backbone has the same names.

Source: arXiv 2206.02777, App. C, and App. B.1 for the drop at epoch 20 of 24. The authors released neither config nor
weights of this run. "1.2 times larger (1280 x 1280)" is 1.25 times 1024; images are tested at 1.2 times 800, which the
paper does not print.

Hardware: 16 GPUs x 1 image (for other totals, `--auto-scale-lr`; for less memory see maskdino_swin-l_lsj-50e_coco.py).
The paper reports 54.7 mask AP on test-dev; not yet trained here at full size.
"""
_base_ = ['_base_/models/maskdino_swin-l.py', '_base_/datasets/coco_instance_lsj.py', '_base_/schedules/24e.py']

load_from = 'checkpoints/maskdino_swin-l_objects365-boxes.pth'

image_size = (1280, 1280)

batch_augments = _base_.model.data_preprocessor.batch_augments
batch_augments[0].size = image_size  # BatchFixedSizePad
# the backbone comes with `load_from`
model = dict(data_preprocessor=dict(batch_augments=batch_augments), backbone=dict(init_cfg=None))

train_pipeline = _base_.train_pipeline
train_pipeline[3].scale = image_size  # RandomResize
train_pipeline[4].crop_size = image_size  # RandomCrop
train_dataloader = dict(batch_size=1, dataset=dict(pipeline=train_pipeline))

test_pipeline = _base_.test_pipeline
test_pipeline[1].scale = (1600, 960)  # Resize
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
