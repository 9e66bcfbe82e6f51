# The released R50 instance model with 2048 hidden channels in the encoder
# (maskdino_R50_bs16_50ep_3s_dowsample1_2048.yaml): 4 levels, strides 8 to 64.
model = dict(
    type='MaskDINO',
    data_preprocessor=dict(
        type='DetDataPreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_mask=True,
        mask_pad_value=0,
        pad_seg=False,
        pad_size_divisor=32,
        batch_augments=[
            dict(
                type='BatchFixedSizePad',
                size=(1024, 1024),
                img_pad_value=0,  # the mean colour; the authors pad with grey 128
                pad_mask=True,
                mask_pad_value=0,
                pad_seg=False)
        ]),
    backbone=dict(
        type='ResNet',
        depth=50,
        num_stages=4,
        out_indices=(0, 1, 2, 3),
        frozen_stages=-1,
        norm_cfg=dict(type='BN', requires_grad=False),
        norm_eval=True,
        style='pytorch',
        init_cfg=dict(type='Pretrained', checkpoint='torchvision://resnet50')),
    panoptic_head=dict(
        type='MaskDINOHead',
        num_things_classes=80,
        num_stuff_classes=0,
        pixel_decoder=dict(
            in_channels=[256, 512, 1024, 2048],
            num_backbone_levels=3,
            num_extra_levels=1,
            feat_channels=256,
            mask_channels=256,
            num_layers=6,
            num_heads=8,
            feedforward_channels=2048,
            feature_order='low2high'),
        decoder=dict(
            num_queries=300,
            num_layers=9,
            embed_dims=256,
            mask_channels=256,
            num_heads=8,
            feedforward_channels=2048,
            two_stage=True,
            box_init='mask2box',
            learn_content=False),
        denoising=dict(dn_num=100, noise_scale=0.4),
        criterion=dict(
            class_loss='focal',
            cls_weight=4.0,
            mask_weight=5.0,
            dice_weight=5.0,
            bbox_weight=5.0,
            iou_weight=2.0,
            point_sampler=dict(num_points=12544, oversample_ratio=3.0, importance_sample_ratio=0.75))),
    test_cfg=dict(instance_on=True, panoptic_on=False, semantic_on=False, max_per_image=100))
