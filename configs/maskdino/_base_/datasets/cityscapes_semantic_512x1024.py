# 19 classes of Cityscapes; short sides 512 to 2048, crops of 512 x 1024 (height x width). MMDetection has the instances of
# Cityscapes only, but a dataset for any folder of images and label maps.
#
#     data/cityscapes/leftImg8bit/{train,val}/CITY/*_leftImg8bit.png
#     data/cityscapes/gtFine/{train,val}/CITY/*_gtFine_labelTrainIds.png     0 to 18, 255 is void
#
# The label maps come from `csCreateTrainIdLabelImgs` of cityscapesscripts.
dataset_type = 'BaseSegDataset'
data_root = 'data/cityscapes/'
backend_args = None

crop_size = (512, 1024)

metainfo = dict(
    classes=('road', 'sidewalk', 'building', 'wall', 'fence', 'pole', 'traffic light', 'traffic sign', 'vegetation',
             'terrain', 'sky', 'person', 'rider', 'car', 'truck', 'bus', 'train', 'motorcycle', 'bicycle'),
    palette=[(128, 64, 128), (244, 35, 232), (70, 70, 70), (102, 102, 156), (190, 153, 153), (153, 153, 153),
             (250, 170, 30), (220, 220, 0), (107, 142, 35), (152, 251, 152), (70, 130, 180), (220, 20, 60),
             (255, 0, 0), (0, 0, 142), (0, 0, 70), (0, 60, 100), (0, 80, 100), (0, 0, 230), (119, 11, 32)])
suffixes = dict(img_suffix='_leftImg8bit.png', seg_map_suffix='_gtFine_labelTrainIds.png')

train_pipeline = [
    dict(type='LoadImageFromFile', backend_args=backend_args),
    dict(type='LoadAnnotations', with_bbox=False, with_mask=False, with_seg=True),
    dict(
        type='RandomChoiceResize',
        scales=[(4096, 1024 * tenths // 10) for tenths in range(5, 21)],
        resize_type='Resize',
        keep_ratio=True),
    dict(type='RandomCrop', crop_size=(1024, 512), crop_type='absolute'),  # width x height
    dict(type='PhotoMetricDistortion'),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackDetInputs')
]
test_pipeline = [
    dict(type='LoadImageFromFile', backend_args=backend_args),
    dict(type='Resize', scale=(2048, 1024), keep_ratio=True),
    dict(type='LoadAnnotations', with_bbox=False, with_mask=False, with_seg=True),
    dict(type='PackDetInputs', meta_keys=('img_path', 'ori_shape', 'img_shape'))
]
train_dataloader = dict(
    batch_size=2,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(
        type=dataset_type,
        metainfo=metainfo,
        data_root=data_root,
        data_prefix=dict(img_path='leftImg8bit/train', seg_map_path='gtFine/train'),
        pipeline=train_pipeline,
        **suffixes))
val_dataloader = dict(
    batch_size=1,
    num_workers=2,
    persistent_workers=True,
    drop_last=False,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type=dataset_type,
        metainfo=metainfo,
        data_root=data_root,
        data_prefix=dict(img_path='leftImg8bit/val', seg_map_path='gtFine/val'),
        test_mode=True,
        pipeline=test_pipeline,
        **suffixes))
test_dataloader = val_dataloader

val_evaluator = dict(type='SemSegMetric', iou_metrics=['mIoU'])
test_evaluator = val_evaluator

# what the model needs for it, as in ade20k_semantic_512x512.py: `model = _base_.semantic_model`
semantic_model = dict(
    data_preprocessor=dict(
        pad_seg=True,
        seg_pad_value=255,
        batch_augments=[
            dict(type='BatchFixedSizePad', size=crop_size, img_pad_value=0, pad_seg=True, seg_pad_value=255)
        ]),
    panoptic_head=dict(
        num_things_classes=0,
        num_stuff_classes=19,
        stuff_boxes=True,
        decoder=dict(two_stage=False, box_init='no'),
        criterion=dict(class_loss='cross_entropy', no_object_weight=0.1)),
    test_cfg=dict(instance_on=False, semantic_on=True))
