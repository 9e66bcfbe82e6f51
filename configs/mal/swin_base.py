"""MAL with Swin-B on COCO boxes.

    bash tools/dist_train.sh configs/mal/swin_base.py 8

Hardware: 8 GPUs x 4 crops of 512 x 512, mixed precision. Paper (Table 4): a Cascade R-CNN (ConvNeXt-S) trained on its masks
reaches 40.2 mask AP on COCO val, 89.7 % of what human masks give (with ViT-MAE-B 42.3 and 94.4 %). Not yet trained here at
full size. The last stage's map (stride 32) is doubled before the decoder; all but the encoder is vit_mae_base.py.
Weights: the authors', trained on ImageNet-1k with labels, window 7 (MIT).
"""
_base_ = ['./vit_mae_base.py']

model = dict(
    network=dict(
        encoder=dict(
            _delete_=True,
            type='SwinEncoder',
            arch='base',
            init_cfg=dict(
                type='Pretrained',
                checkpoint='https://github.com/SwinTransformer/storage/releases/download/v1.0.0/swin_base_patch4_window7_224.pth',  # noqa
            ))))
