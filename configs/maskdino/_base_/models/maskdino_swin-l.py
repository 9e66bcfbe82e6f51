# 5 levels, strides 4 to 64. Under 60 GB of GPU memory for 2 images: `with_cp=True` in the backbone, the pixel decoder
# and the decoder.
_base_ = './maskdino_r50.py'

pretrained = 'https://github.com/SwinTransformer/storage/releases/download/v1.0.0/swin_large_patch4_window12_384_22k.pth'  # noqa: E501

model = dict(
    backbone=dict(
        _delete_=True,
        type='SwinTransformer',
        pretrain_img_size=384,
        embed_dims=192,
        depths=(2, 2, 18, 2),
        num_heads=(6, 12, 24, 48),
        window_size=12,
        mlp_ratio=4,
        qkv_bias=True,
        qk_scale=None,
        drop_rate=0.0,
        attn_drop_rate=0.0,
        drop_path_rate=0.3,
        patch_norm=True,
        out_indices=(0, 1, 2, 3),
        frozen_stages=-1,
        with_cp=False,
        convert_weights=True,
        init_cfg=dict(type='Pretrained', checkpoint=pretrained)),
    panoptic_head=dict(
        pixel_decoder=dict(in_channels=[192, 384, 768, 1536], num_backbone_levels=4),
        decoder=dict(box_init='bitmask')))
