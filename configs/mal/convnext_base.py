"""MAL with ConvNeXt-B on COCO boxes.

    bash tools/dist_train.sh configs/mal/convnext_base.py 8

Hardware: 8 GPUs x 4 crops of 512 x 512, mixed precision. Paper (Table 4): a Cascade R-CNN (ConvNeXt-S) trained on its masks
reaches 39.6 mask AP on COCO val, 88.4 % of what human masks give (with ViT-MAE-B 42.3 and 94.4 %). Not yet trained here at
full size. The last stage's map (stride 32) is doubled before the decoder; all but the encoder is vit_mae_base.py.
Weights: the authors', trained on ImageNet-1k with labels (MIT).
"""
_base_ = ['./vit_mae_base.py']

model = dict(
    network=dict(
        encoder=dict(
            _delete_=True,
            type='ConvNeXtEncoder',
            arch='base',
            init_cfg=dict(
                type='Pretrained',
                checkpoint='https://dl.fbaipublicfiles.com/convnext/convnext_base_1k_224_ema.pth'))))
