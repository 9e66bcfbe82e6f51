"""MAL with ViT-MAE-L/16 on COCO boxes.

    bash tools/dist_train.sh configs/mal/vit_mae_large.py 8

Hardware: 8 GPUs x 4 crops of 512 x 512, mixed precision, activation checkpointing (`with_cp=False` is faster where the
memory suffices). Paper (Table 4): a Cascade R-CNN (ConvNeXt-S) trained on its masks reaches 42.3 mask AP on COCO val, 94.4 % of
what human masks give, as much as with ViT-MAE-B. Not yet trained here at full size. All but the encoder is vit_mae_base.py: the
paper uses the same hyper-parameters for all encoders (supplement, Sec. 2). With those that MAE's authors fine-tune this size
with: vit_mae_large_layer_decay.py. Weights: the authors' (CC BY-NC 4.0).
"""
_base_ = ['./vit_mae_base.py']

model = dict(
    network=dict(
        encoder=dict(
            arch='large',
            with_cp=True,
            init_cfg=dict(
                _delete_=True,
                type='Pretrained',
                checkpoint='https://dl.fbaipublicfiles.com/mae/pretrain/mae_pretrain_vit_large.pth'))))
