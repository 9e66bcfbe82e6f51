# COCO boxes; segmentations in the file are not read. Any COCO-style file works: classes come from the file.
data_root = 'data/coco/'

train_pipeline = [
    # Pillow: OpenCV decodes half a truncated JPEG without saying so
    dict(type='LoadImageFromFile', imdecode_backend='pillow'),
    dict(type='RoICrop', crop_size=512, expansion='released', theta=1.2, padding='wrap'),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackRoIInputs'),
]

train_dataloader = dict(
    batch_size=4,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='ResumableSampler', shuffle=True),
    dataset=dict(
        type='RoIDataset',
        # released: area > 2048 px^2 and both sides > 2 px
        min_area=2048,
        min_side=2,
        dataset=dict(
            type='CocoBoxDataset',
            data_root=data_root,
            ann_file='annotations/instances_train2017.json',
            data_prefix=dict(img='train2017/')),
        pipeline=train_pipeline))
