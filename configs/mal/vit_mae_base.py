"""MAL with ViT-MAE-B/16 on COCO boxes, released behaviour.

    bash tools/dist_train.sh configs/mal/vit_mae_base.py 8

Hardware: 8 GPUs x 4 crops of 512 x 512, mixed precision. Paper: 10 epochs; Mask2Former Swin-S trained on the masks
of a ViT-MAE-B labeler reaches 43.3 mask AP on COCO val. Not yet reproduced here at scale.
Unlike the released code it keeps the ViT's own pretrained 16 x 16 patch projection: a convolutional stem trained from
scratch throws the pretraining of the first layer away (`stem='conv'` is there for imported checkpoints).
"""
_base_ = [
    './_base_/models/mal_vit_base.py',
    './_base_/datasets/coco_boxes.py',
    './_base_/schedules/mal_10e.py',
    './_base_/default_runtime.py',
]
