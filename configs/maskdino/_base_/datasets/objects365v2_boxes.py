# Objects365 v2, boxes of 365 classes, split as DINO does (arXiv 2203.03605, App. D.2): of the 80000 images of `val` the
# first 5000 for validation; the others are trained on, too, together with the 1.7 M of `train`.
_base_ = ['mmdet::_base_/datasets/objects365v2_detection.py']

# DINO's default scales (App. D.3): short side 480 to 800, long side at most 1333
scales = [(short, 1333) for short in range(480, 801, 32)]
train_pipeline = [
    dict(type='LoadImageFromFile', backend_args={{_base_.backend_args}}),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='RandomFlip', prob=0.5),
    dict(
        type='RandomChoice',
        transforms=[
            [dict(type='RandomChoiceResize', scales=scales, keep_ratio=True)],
            [
                dict(type='RandomChoiceResize', scales=[(400, 4200), (500, 4200), (600, 4200)], keep_ratio=True),
                dict(
                    type='RandomCrop',
                    crop_type='absolute_range',
                    crop_size=(384, 600),
                    allow_negative_crop=True),
                dict(type='RandomChoiceResize', scales=scales, keep_ratio=True)
            ]
        ]),
    dict(type='PackDetInputs')
]
# images without objects stay, so that the two parts of `val` never overlap
training_part = dict(
    type={{_base_.dataset_type}},
    data_root={{_base_.data_root}},
    filter_cfg=dict(filter_empty_gt=False),
    pipeline=train_pipeline)
train_dataloader = dict(
    batch_size=1,
    dataset=dict(
        _delete_=True,
        type='ConcatDataset',
        datasets=[
            dict(
                training_part,
                ann_file='annotations/zhiyuan_objv2_train.json',
                data_prefix=dict(img='train/')),
            # minus: the last 75000
            dict(
                training_part,
                ann_file='annotations/zhiyuan_objv2_val.json',
                data_prefix=dict(img='val/'),
                indices=-75000)
        ]))

test_pipeline = _base_.test_pipeline
# the evaluator reads boxes here, and not all 80000 images from the file
test_pipeline[-1].meta_keys = ('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor', 'instances')
val_dataloader = dict(dataset=dict(indices=5000, pipeline=test_pipeline))
test_dataloader = val_dataloader

val_evaluator = dict(ann_file=None)
test_evaluator = val_evaluator

# what the model needs for it: `model = _base_.detection_model`
detection_model = dict(
    data_preprocessor=dict(pad_mask=False, batch_augments=None),
    panoptic_head=dict(num_things_classes=365, with_mask=False, decoder=dict(box_init='no')))
