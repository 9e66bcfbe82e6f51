"""Mask DINO on pseudo-masks: R50, the lighter variant, 50 epochs.

    bash tools/dist_train.sh configs/phase2/maskdino_r50-hid1024_lsj-50e_coco_mal.py 8

The file is the labeler's output (`tools/generate_pseudo_masks.py`), here `mal_ann_file`: `--cfg-options
mal_ann_file=FILE`. Nothing but that file differs from configs/maskdino/maskdino_r50-hid1024_lsj-50e_coco.py, the run
on human masks; validation stays on human masks.

Hardware: 8 GPUs x 2 images (for other totals, `--auto-scale-lr`), 15 GB each. On human masks the authors report 46.1
mask AP and 51.5 box AP. On pseudo-masks not yet trained here at full size.
"""
_base_ = ['../maskdino/maskdino_r50-hid1024_lsj-50e_coco.py']

mal_ann_file = 'annotations/instances_train2017_mal.json'

train_dataloader = dict(dataset=dict(ann_file=mal_ann_file))
