"""Mask DINO Swin-L, COCO instances in 1.2 times larger images, after detection pretraining on Objects365.

    bash tools/dist_train.sh configs/maskdino/maskdino_swin-l_lsj-1216-20e_objects365-coco.py 8 \\
        --cfg-options load_from=DETECTOR.pth

DETECTOR.pth is a checkpoint of this model (or of any Mask DINO with such a backbone) that has learned boxes, such as
one that `tools/import_maskdino_checkpoint.py` has converted. Tensors go by name: those of another shape, such as
`class_embed` and `label_enc` of 365 classes, and those that the file lacks, such as the mask heads, keep their
initialisation, and the log lists them. Of a DINO of mmdet only the backbone has the same names.

The authors released neither config nor weights of this run; what is known of it is 20 epochs and 1.2 times larger
images. Here that is 1216 px, the multiple of 32 next to 1.2 x 1024, and the drops are at 0.9 and 0.95 of the run.

Hardware: 8 GPUs x 2 images of 80 GB (for other totals, `--auto-scale-lr`; for less memory see
maskdino_swin-l_lsj-50e_coco.py). They report 54.5 mask AP; not yet trained here at full size.
"""
_base_ = ['./maskdino_swin-l_lsj-50e_coco.py']

load_from = 'checkpoints/maskdino_swin-l_objects365-boxes.pth'

image_size = (1216, 1216)
max_iters = 147500  # 20 epochs, counted as in the 50 of 368750

model = dict(
    data_preprocessor=dict(
        batch_augments=[
            dict(
                type='BatchFixedSizePad',
                size=image_size,
                img_pad_value=0,
                pad_mask=True,
                mask_pad_value=0,
                pad_seg=False)
        ]),
    # it comes with `load_from`
    backbone=dict(init_cfg=None))

train_pipeline = _base_.train_pipeline
train_pipeline[3].scale = image_size  # RandomResize
train_pipeline[4].crop_size = image_size  # RandomCrop
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))

test_pipeline = _base_.test_pipeline
test_pipeline[1].scale = (1600, 960)  # Resize
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader

param_scheduler = [
    dict(type='MultiStepLR', begin=0, end=max_iters, by_epoch=False, milestones=[132750, 140125], gamma=0.1)
]
train_cfg = dict(max_iters=max_iters, dynamic_intervals=[(max_iters // 5000 * 5000 + 1, max_iters)])
