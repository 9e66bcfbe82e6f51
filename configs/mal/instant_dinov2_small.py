"""Masks from boxes without training: tokens of DINOv2 ViT-S/14, the box, and colours.

    python tools/generate_pseudo_masks.py configs/mal/instant_dinov2_small.py --ann boxes.json --img-root photos \
        --out masks.json

Hardware: one CPU core, about 0.15 s a box; or one GPU. Expected: docs/instant.md. Not in the paper. Weights: the authors'
dinov2_vits14_pretrain.pth (Apache-2.0), or those that tools/convert_dinov2.py makes; `--weights DIR` says where they are,
`--cfg-options model.encoder.init_cfg.checkpoint=PATH` too.
"""
_base_ = ['./_base_/default_runtime.py']

model = dict(
    type='InstantLabeler',
    encoder=dict(
        type='ViTEncoder',
        arch='dinov2-small',
        img_size=518,
        patch_size=14,
        layer_scale_init_value=1e-5,
        init_cfg=dict(
            type='Pretrained',
            checkpoint='https://dl.fbaipublicfiles.com/dinov2/dinov2_vits14/dinov2_vits14_pretrain.pth')),
    test_cfg=dict(
        # the mirrored crop as well: better on photographs and nuclei (docs/instant.md) for four tenths more time
        flip=True,
        refine='instant',
        crop_size=224,
        margin=0.3,
        mask_threshold=0.5,
        carve_holes=True,
        overlaps='centre',
        box_tolerance=0.0))
