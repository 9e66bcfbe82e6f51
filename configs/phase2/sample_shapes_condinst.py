"""A small CondInst for the drawn `shapes` set, to measure a retention rate with on a laptop without a GPU.

    python tools/make_sample_dataset.py shapes data/shapes --num-images 500 --num-unseen 100
    python benchmarks/retention_shapes.py data/shapes
    python tools/train.py configs/phase2/sample_shapes_condinst.py --cfg-options mal_ann_file=pseudo_masks.json

Hardware: two CPU cores, about half an hour a run; what to expect stands in the README. As MMDetection's CondInst R50,
whose masks BoxInst learns from boxes alone, but narrow (ResNet-18 with half the channels), at 128 px, from scratch,
with AdamW; RLE masks are decoded (`poly2mask`), since the stock pipeline would ignore them.
"""
_base_ = ['mmdet::condinst/condinst_r50_fpn_ms-poly-90k_coco_instance.py']
custom_imports = dict(imports=['mal_mm'], allow_failed_imports=False)

mal_ann_file = 'pseudo_masks.json'
data_root = 'data/shapes/'
side = 128
max_iters = 1600
classes = ('ellipse', 'polygon', 'star', 'ring', 'blob')

model = dict(
    backbone=dict(
        depth=18,
        base_channels=32,
        frozen_stages=-1,
        norm_eval=False,
        init_cfg=None),
    neck=dict(in_channels=[32, 64, 128, 256], out_channels=48, start_level=0, num_outs=4),
    bbox_head=dict(
        num_classes=5,
        in_channels=48,
        feat_channels=48,
        stacked_convs=2,
        norm_cfg=dict(type='GN', num_groups=8, requires_grad=True),
        strides=[4, 8, 16, 32],
        regress_ranges=((-1, 24), (24, 48), (48, 96), (96, 1e8))),
    mask_head=dict(
        size_of_interest=4,
        mask_out_stride=2,
        mask_feature_head=dict(in_channels=48, feat_channels=48, mask_stride=4, num_stacked_convs=2)))

load_image = dict(type='LoadImageFromFile')
load_masks = dict(type='LoadAnnotations', with_bbox=True, with_mask=True)
resize = dict(type='Resize', scale=(side, side), keep_ratio=True)
train_pipeline = [load_image, load_masks, resize, dict(type='RandomFlip', prob=0.5), dict(type='PackDetInputs')]
test_pipeline = [
    load_image, resize,
    dict(type='PackDetInputs', meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor'))]
train_dataloader = dict(
    batch_size=8,
    num_workers=1,
    dataset=dict(
        data_root=data_root,
        ann_file=mal_ann_file,
        data_prefix=dict(img=''),
        metainfo=dict(classes=classes),
        pipeline=train_pipeline))
val_dataloader = dict(
    batch_size=4,
    num_workers=1,
    dataset=dict(
        data_root=data_root,
        ann_file='unseen_gt.json',
        data_prefix=dict(img=''),
        metainfo=dict(classes=classes),
        pipeline=test_pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=data_root + 'unseen_gt.json')
test_evaluator = val_evaluator

train_cfg = dict(max_iters=max_iters, val_interval=800)
optim_wrapper = dict(
    optimizer=dict(_delete_=True, type='AdamW', lr=1e-3, weight_decay=0.05),
    clip_grad=dict(max_norm=10))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=200),
    dict(type='CosineAnnealingLR', eta_min_ratio=0.01, by_epoch=False, begin=200, end=max_iters, T_max=max_iters - 200),
]
default_hooks = dict(checkpoint=dict(interval=800, max_keep_ckpts=1), logger=dict(interval=50))
randomness = dict(seed=0)
