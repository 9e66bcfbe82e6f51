"""Ablation (Table 3): MAL with ViT-MAE-B and a fully connected mask decoder, on COCO boxes.

    bash tools/dist_train.sh configs/mal/vit_mae_base_fully_connected.py 8

Hardware: 8 GPUs x 4 crops. Two layers, 2048 wide, as the paper says; the map is pooled to 7 x 7 and the mask has 28 x 28, which it
does not say. Paper: 35.5 mask AP on COCO val and 79.2 % retention, against 42.3 and 94.4 % of the attention decoder. Not trained
here at full size.
"""
_base_ = ['./vit_mae_base.py']

model = dict(network=dict(decoder=dict(_delete_=True, type='FullyConnectedDecoder', channels=2048)))
