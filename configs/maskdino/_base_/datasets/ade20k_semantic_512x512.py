# 150 classes (SceneParsing, ADEChallengeData2016); short sides 256 to 1024, crops of 512.
_base_ = ['mmdet::_base_/datasets/ade20k_semantic.py']

crop_size = (512, 512)

train_pipeline = [
    dict(type='LoadImageFromFile', backend_args={{_base_.backend_args}}),
    dict(type='LoadAnnotations', with_bbox=False, with_mask=False, with_seg=True, reduce_zero_label=True),
    dict(
        type='RandomChoiceResize',
        scales=[(2048, 512 * tenths // 10) for tenths in range(5, 21)],
        resize_type='Resize',
        keep_ratio=True),
    dict(type='RandomCrop', crop_size=crop_size, crop_type='absolute'),
    dict(type='PhotoMetricDistortion'),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackDetInputs')
]
train_dataloader = dict(
    batch_size=2,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(
        type={{_base_.dataset_type}},
        data_root={{_base_.data_root}},
        data_prefix=dict(img_path='images/training', seg_map_path='annotations/training'),
        pipeline=train_pipeline))

# what the model needs for it: `model = _base_.semantic_model`. One stage, a class for "no object", and boxes of stuff.
semantic_model = dict(
    data_preprocessor=dict(
        pad_seg=True,
        seg_pad_value=255,
        batch_augments=[
            dict(type='BatchFixedSizePad', size=crop_size, img_pad_value=0, pad_seg=True, seg_pad_value=255)
        ]),
    panoptic_head=dict(
        num_things_classes=0,
        num_stuff_classes=150,
        stuff_boxes=True,
        decoder=dict(two_stage=False, box_init='no'),
        criterion=dict(class_loss='cross_entropy', no_object_weight=0.1)),
    test_cfg=dict(instance_on=False, semantic_on=True))
