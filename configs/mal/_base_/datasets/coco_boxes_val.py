# Validation against human masks after each epoch, to be added to `_base_`:
#   _base_ = ['./vit_mae_base.py', './_base_/datasets/coco_boxes_val.py']
# The checkpoint of the best mean IoU is kept as best_mal_mIoU_epoch_*.pth; tools/test.py scores any other one.
val_data_root = 'data/coco/'
val_ann_file = 'annotations/instances_val2017.json'

val_pipeline = [
    dict(type='LoadImageFromFile', imdecode_backend='pillow'),
    # as in model.test_cfg, and not mirrored
    dict(type='RoICrop', crop_size=512, expansion='fixed', margin=0.3, padding='wrap'),
    dict(type='PackRoIInputs'),
]

val_dataloader = dict(
    batch_size=8,
    num_workers=4,
    persistent_workers=True,
    drop_last=False,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='RoIDataset',
        min_area=0,
        dataset=dict(
            type='CocoBoxDataset',
            data_root=val_data_root,
            ann_file=val_ann_file,
            # quicker: indices=1000 takes the first 1000 images
            data_prefix=dict(img='val2017/')),
        pipeline=val_pipeline))
val_evaluator = dict(
    type='MaskIoUMetric',
    ann_file=val_data_root + val_ann_file,
    mask_threshold=0.1)  # as in model.test_cfg
val_cfg = dict(type='ValLoop')

test_dataloader = val_dataloader
test_evaluator = val_evaluator
test_cfg = dict(type='TestLoop')
