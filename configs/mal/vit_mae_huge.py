"""MAL with ViT-MAE-H/14 on COCO boxes.

    bash tools/dist_train.sh configs/mal/vit_mae_huge.py 8

Hardware: 8 GPUs x 4 crops of 518 x 518 (37 x 37 patches of 14 px), mixed precision, activation checkpointing. Student,
teacher, gradients and AdamW's state take 13 GB before any activation. Not in the paper, and not yet trained here at full size.
Hyper-parameters as for all encoders. Those of MAE's own fine-tuning: vit_mae_large_layer_decay.py, with drop_path_rate=0.3.
Weights: the authors' (CC BY-NC 4.0).
"""
_base_ = [
    './_base_/models/mal_vit_base.py',
    './_base_/datasets/coco_boxes_518.py',
    './_base_/schedules/mal_10e.py',
    './_base_/default_runtime.py',
]

model = dict(
    network=dict(
        encoder=dict(
            arch='huge',
            patch_size=14,
            with_cp=True,
            init_cfg=dict(
                _delete_=True,
                type='Pretrained',
                checkpoint='https://dl.fbaipublicfiles.com/mae/pretrain/mae_pretrain_vit_huge.pth'))),
    test_cfg=dict(crop_size=518))
