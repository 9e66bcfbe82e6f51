"""Masks from boxes by SAM 2.1 (Hiera-T), the box as its prompt.

    python tools/generate_pseudo_masks.py configs/mal/sam_2_hiera_tiny.py --ann boxes.json --img-root photos \
        --out masks.json --weights FOLDER

Hardware: one GPU, or a CPU and patience. Expected: unknown, see sam_vit_base.py and docs/prompted.md.
Weights: https://huggingface.co/facebook/sam2.1-hiera-tiny (Apache-2.0); the others by
`--cfg-options model.checkpoint=facebook/sam2.1-hiera-small` (-base-plus, -large). Needs `pip install "mal-mm[sam]"`.
"""
_base_ = ['./sam_vit_base.py']

model = dict(family='sam2', checkpoint='facebook/sam2.1-hiera-tiny')
