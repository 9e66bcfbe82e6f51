"""A small Mask DINO for the drawn `shapes` set, to measure a retention rate with.

    python tools/make_sample_dataset.py shapes data/shapes --num-images 500 --num-unseen 100
    python benchmarks/retention_shapes.py data/shapes --runs BoxInst
    python benchmarks/retention_shapes.py data/shapes --segmenter maskdino --runs GT MAL
    python tools/train.py configs/phase2/sample_shapes_maskdino.py --cfg-options mal_ann_file=pseudo_masks.json

Hardware: two CPU cores, 0.7 s of one core an iteration; no run of this length has been finished yet, see
docs/maskdino.md. As Mask DINO R50, but narrow and shallow (ResNet-18 with half the channels, 2 encoder and 3 decoder
layers of width 64, 30 queries), at 128 px. Data and schedule are those of sample_shapes_condinst.py. From scratch
it came to 0.032 mask AP in 1000 iterations, so the backbone begins as that of BoxInst (sample_shapes_boxinst.py), which
has seen the boxes of the same images and no mask.
"""
_base_ = ['./sample_shapes_condinst.py']
custom_imports = dict(imports=['mal_mm'], allow_failed_imports=False)

boxinst = 'work_dirs/retention_shapes/boxinst_train/iter_1600.pth'

model = dict(
    _delete_=True,
    type='MaskDINO',
    data_preprocessor=dict(
        type='DetDataPreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_mask=True,
        pad_size_divisor=32),
    backbone=dict(
        type='ResNet',
        depth=18,
        base_channels=32,
        out_indices=(0, 1, 2, 3),
        norm_cfg=dict(type='BN', requires_grad=True),
        norm_eval=False,
        init_cfg=dict(type='Pretrained', checkpoint=boxinst, prefix='backbone.')),
    panoptic_head=dict(
        type='MaskDINOHead',
        num_things_classes=5,
        pixel_decoder=dict(
            in_channels=(32, 64, 128, 256),
            num_extra_levels=0,
            feat_channels=64,
            mask_channels=64,
            num_layers=2,
            num_heads=4,
            feedforward_channels=128,
            feature_order='low2high'),
        decoder=dict(
            num_queries=30,
            num_layers=3,
            embed_dims=64,
            mask_channels=64,
            num_heads=4,
            feedforward_channels=128),
        denoising=dict(dn_num=30),
        criterion=dict(point_sampler=dict(num_points=512))),
    test_cfg=dict(max_per_image=30))

optim_wrapper = dict(clip_grad=dict(max_norm=1))
