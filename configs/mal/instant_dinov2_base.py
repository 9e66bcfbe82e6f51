"""Masks from boxes without training, with the tokens of DINOv2 ViT-B/14.

    python tools/generate_pseudo_masks.py configs/mal/instant_dinov2_base.py --ann boxes.json --img-root photos \
        --out masks.json

Hardware: one GPU, or a CPU and patience. Expected: not measured here. All but the encoder's size is instant_dinov2_small.py.
Weights: the authors' dinov2_vitb14_pretrain.pth (Apache-2.0).
"""
_base_ = ['./instant_dinov2_small.py']

model = dict(
    encoder=dict(
        arch='base',
        init_cfg=dict(checkpoint='https://dl.fbaipublicfiles.com/dinov2/dinov2_vitb14/dinov2_vitb14_pretrain.pth')))
