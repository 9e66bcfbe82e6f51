_base_ = [
    './_base_/models/mal_vit_base.py',
    './_base_/datasets/coco_boxes.py',
    './_base_/default_runtime.py',
]
crop_size = 224

model = dict(
    data_preprocessor=dict(jitter=None, grey_prob=0, blur_prob=0),
    network=dict(
        encoder=dict(
            _delete_=True,
            type='MemoisedEncoder',
            encoder=dict(
                type='ViTEncoder',
                arch='dinov2-small',
                img_size=518,
                patch_size=14,
                layer_scale_init_value=1.0,
                frozen=True,
                init_cfg=dict(type='Pretrained', checkpoint='/tmp/dinov2_small.pth'))),
        decoder=dict(channels=128, area_bounds=(), scales=(2,))),
    mil_loss=dict(loss_weight=4.0),
    crf_loss=dict(loss_weight=2.0, mean_field=dict(zeta=0.3)),
    mil_ramp_iters=0,
    crf_ramp_iters=100,
    test_cfg=dict(crop_size=crop_size, mask_threshold=0.5))

custom_hooks = [dict(type='EMATeacherHook', momentum=0.98)]

data_root = 'quickstart/'
train_pipeline = [
    dict(type='LoadImageFromFile', imdecode_backend='pillow'),
    dict(type='RoICrop', crop_size=crop_size, expansion='released', theta=1.2, padding='wrap'),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackRoIInputs'),
]
train_dataloader = dict(
    batch_size=16,
    num_workers=0,
    persistent_workers=False,
    dataset=dict(
        min_area=0,
        views_per_box=4,
        pipeline=train_pipeline,
        dataset=dict(data_root=data_root, ann_file='train.json', data_prefix=dict(img=''))))

train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=15)
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='AdamW', lr=5e-4, betas=(0.9, 0.999), weight_decay=5e-4))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=20),
    dict(type='CosineAnnealingLR', eta_min_ratio=0.05, by_epoch=True, begin=0, end=15, T_max=15, convert_to_iter_based=True),
]
