"""Masks from boxes by SAM (ViT-B), the box as its prompt: a labeler that people have trained on masks.

    python tools/generate_pseudo_masks.py configs/mal/sam_vit_base.py --ann boxes.json --img-root photos \
        --out masks.json --weights FOLDER

Hardware: one GPU; on a CPU seconds a box, since the crop of each is encoded at 1024 px. Expected: unknown, the weights were
never at hand here; what is tested is that masks are those of the `transformers` library, see docs/prompted.md. Not in the paper,
and no weak supervision: SAM has learned from 1.1 billion masks.
Weights: https://huggingface.co/facebook/sam-vit-base (Apache-2.0); the others by
`--cfg-options model.checkpoint=facebook/sam-vit-large` (or -huge). Needs `pip install "mal-mm[sam]"`.
"""
_base_ = ['./_base_/default_runtime.py']

model = dict(
    type='PromptedLabeler',
    family='sam',
    checkpoint='facebook/sam-vit-base',
    test_cfg=dict(
        refine='none',
        crop_size=1024,  # the input of the network
        margin=1.0,  # the box is half of the crop; a guess, not measured
        mask_threshold=0.5,  # logit 0, as in the library
        overlaps='centre',
        box_tolerance=0.0))
