"""MAL with DeiT-B/16 on COCO boxes.

    bash tools/dist_train.sh configs/mal/deit_base.py 8

Hardware: 8 GPUs x 4 crops of 512 x 512, mixed precision. Paper (Table 4): a Cascade R-CNN (ConvNeXt-S) trained on its masks
reaches 41.1 mask AP on COCO val, 91.7 % of what human masks give (with ViT-MAE-B 42.3 and 94.4 %). Not yet trained here at
full size. All but the encoder is vit_mae_base.py. Weights: the authors', trained on ImageNet-1k with labels
(Apache-2.0).
"""
_base_ = ['./vit_mae_base.py']

model = dict(
    network=dict(
        encoder=dict(
            arch='deit-base',
            init_cfg=dict(
                _delete_=True,
                type='Pretrained',
                checkpoint='https://dl.fbaipublicfiles.com/deit/deit_base_patch16_224-b5f2ef4d.pth'))))
