"""Masks from boxes without training, with the tokens of DINOv2 ViT-L/14.

    python tools/generate_pseudo_masks.py configs/mal/instant_dinov2_large.py --ann boxes.json --img-root photos \
        --out masks.json

Hardware: one GPU, or a CPU and patience. Expected: not measured here. All but the encoder's size is instant_dinov2_small.py.
Weights: the authors' dinov2_vitl14_pretrain.pth (Apache-2.0).
"""
_base_ = ['./instant_dinov2_small.py']

model = dict(
    encoder=dict(
        arch='large',
        init_cfg=dict(checkpoint='https://dl.fbaipublicfiles.com/dinov2/dinov2_vitl14/dinov2_vitl14_pretrain.pth')))
