"""MAL with DeiT-T/16 on COCO boxes.

    bash tools/dist_train.sh configs/mal/deit_tiny.py 8

Hardware: 8 GPUs x 4 crops of 512 x 512, mixed precision. Not in the paper, whose smallest encoder is DeiT-S (deit_small.py),
and not yet trained here at full size. All but the encoder is vit_mae_base.py. Weights: the authors', trained on
ImageNet-1k with labels (Apache-2.0).
"""
_base_ = ['./vit_mae_base.py']

model = dict(
    network=dict(
        encoder=dict(
            arch='deit-tiny',
            init_cfg=dict(
                _delete_=True,
                type='Pretrained',
                checkpoint='https://dl.fbaipublicfiles.com/deit/deit_tiny_patch16_224-a1311bcf.pth'))))
