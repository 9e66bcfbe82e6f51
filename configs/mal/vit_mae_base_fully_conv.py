"""Ablation (Table 3): MAL with ViT-MAE-B and a fully convolutional mask decoder, on COCO boxes.

    bash tools/dist_train.sh configs/mal/vit_mae_base_fully_conv.py 8

Hardware: 8 GPUs x 4 crops. The attention decoder's pixel head and size bins without its instance vector. Paper: 36.1 mask AP on
COCO val and 80.5 % retention, against 42.3 and 94.4 % of the attention decoder. Not trained here at full size.
"""
_base_ = ['./vit_mae_base.py']

model = dict(
    network=dict(
        decoder=dict(
            _delete_=True,
            type='FullyConvDecoder',
            channels=256,
            upsample_before=3,
            area_bounds=(32**2, 96**2),
            scales=(0.5, 1, 2))))
