"""Masks from boxes by SAM 3: its tracker, the part that is prompted with boxes, on single pictures.

    python tools/generate_pseudo_masks.py configs/mal/sam_3.py --ann boxes.json --img-root photos \
        --out masks.json --weights FOLDER

Hardware: one GPU. Expected: unknown, see sam_vit_base.py and docs/prompted.md.
Weights: https://huggingface.co/facebook/sam3, for those who have agreed to the SAM License on that page (it is not an open
source licence; read it). Needs `pip install "mal-mm[sam]"`.
"""
_base_ = ['./sam_vit_base.py']

model = dict(family='sam3', checkpoint='facebook/sam3', test_cfg=dict(crop_size=1008))
