"""Ablation (Sec. 3.2): MAL with ViT-MAE-B and a feature pyramid between encoder and decoder, on COCO boxes.

    bash tools/dist_train.sh configs/mal/vit_mae_base_fpn.py 8

Hardware: 8 GPUs x 4 crops of 512 x 512, mixed precision. Blocks 6, 9 and 12 make levels of 1/8, 1/16 and 1/32 of the crop, with
lateral connections (FPN); large, medium and small objects are decoded from these and no longer from one resized map. The
paper reports a performance drop and no figures. Not trained here at full size.
"""
_base_ = ['./vit_mae_base.py']

model = dict(
    network=dict(
        encoder=dict(out_indices=(5, 8, 11)),
        neck=dict(type='ViTFPN', channels=256)))

# a batch without small objects, say, leaves their level unused
find_unused_parameters = True
