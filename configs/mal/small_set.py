"""A labeler for a small set of your own: some tens to some thousands of boxes, no cluster.

    python tools/train.py configs/mal/small_set.py --work-dir work_dirs/mine --cfg-options \
        ann_file=boxes.json img_root=photos encoder_checkpoint=dinov2_small.pth

Hardware: two CPU cores, 2 to 10 minutes; or one GPU. Expected: docs/training.md, "Small sets". tools/label.py runs it with
the instant labeler's masks as `start_masks`, without which it is clearly worse than these. Not in the paper.

What differs from vit_mae_base.py and why: the encoder is a frozen DINOv2 ViT-S/14 whose features are computed once for each of
a fixed set of crops; four of its blocks, since the last alone is blind for detail (mean IoU of 95 nuclei .847 -> .883); a
1 x 1 convolution to 128 channels before a small decoder; boxes of all sizes, decoded alike; few boxes, so the learning rate is
high and the teacher quick (0.98).
"""
_base_ = [
    './_base_/models/mal_vit_base.py',
    './_base_/datasets/coco_boxes.py',
    './_base_/default_runtime.py',
]

# What to set, by --cfg-options or in a config of your own with `_base_ = ['mal_mm::mal/small_set.py']`; None leaves what
# stands below.
# A COCO file with boxes, relative to where the command runs
ann_file = None
# the folder that its file names are relative to
img_root = None
# DINOv2 ViT-S/14, made by tools/convert_dinov2.py, or the authors' dinov2_vits14_pretrain.pth
encoder_checkpoint = None
# masks of the same boxes that were drawn without training: a file that tools/generate_pseudo_masks.py has written
start_masks = None

model = dict(
    # no photometric views: they would make each crop a new one, and its features with it
    data_preprocessor=dict(jitter=None, grey_prob=0, blur_prob=0),
    network=dict(
        feature_stride=None,  # 16 x 16 patches of 14 px are decoded as they are
        projection=128,
        encoder=dict(
            _delete_=True,
            type='CachedEncoder',
            encoder=dict(
                type='ViTEncoder',
                arch='dinov2-small',
                img_size=518,
                patch_size=14,
                layer_scale_init_value=1e-5,
                out_indices=(2, 5, 8, 11),
                frozen=True,
                init_cfg=dict(type='Pretrained', checkpoint='dinov2_small.pth'))),
        # all sizes decoded alike
        decoder=dict(channels=64, area_bounds=(), scales=(1, ))),
    crf_loss=dict(loss_weight=3.0, mean_field=dict(zeta=0.3)),
    # the released shrinking, 'bilinear', costs 0.005 mean IoU on photographs and nothing elsewhere (docs/paper_measurements.md);
    # jittered views, whose colours the released code takes, there are none
    crf_view='clean',
    shrink='area',
    # only where there are start masks
    start_loss=dict(loss_weight=2.0),
    mil_ramp_iters=0,
    crf_ramp_iters=0,
    # drawn with the stages of the instant labeler
    test_cfg=dict(
        network='teacher',
        flip=True,
        refine='instant',
        crop_size=224,
        mask_threshold=0.5,
        carve_holes=True,
        overlaps='centre',
        box_tolerance=0.0))

custom_hooks = [dict(type='EMATeacherHook', momentum=0.98), dict(type='FeatureCacheHook')]

train_pipeline = _base_.train_pipeline
train_pipeline[1].crop_size = 224
train_dataloader = dict(
    batch_size=16,
    num_workers=1,
    persistent_workers=True,
    dataset=dict(
        min_area=0,
        views_per_box=4,
        pipeline=train_pipeline,
        dataset=dict(data_root='', ann_file='boxes.json', data_prefix=dict(img='.'))))

# 300 iterations up to 75 boxes, 4 a box beyond, 3000 from 750 boxes on
train_cfg = dict(type='BoxCountTrainLoop', iters_per_box=4, min_iters=300, max_iters=3000)
optim_wrapper = dict(
    type='OptimWrapper', optimizer=dict(type='AdamW', lr=6e-4, betas=(0.9, 0.95), weight_decay=5e-4))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=50),
    # from the first iteration to the last, however many there are
    dict(type='CosineAnnealingLR', eta_min_ratio=0.05, by_epoch=True, begin=0, convert_to_iter_based=True),
]
default_hooks = dict(checkpoint=dict(interval=10, max_keep_ckpts=1))
