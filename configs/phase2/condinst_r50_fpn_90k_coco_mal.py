"""CondInst R50 on pseudo-masks: BoxInst's network, taught by a labeler.

    bash tools/dist_train.sh configs/phase2/condinst_r50_fpn_90k_coco_mal.py 8

The file is the labeler's output (`tools/generate_pseudo_masks.py`), here `mal_ann_file`: `--cfg-options
mal_ann_file=FILE`. Nothing but that file differs from `condinst_r50_fpn_90k_coco_gt.py`; validation stays on human
masks.

Hardware: 8 GPUs x 2 images (for other totals, `--auto-scale-lr`), 4.4 GB each, 90000 iterations. With human polygons
MMDetection's model zoo reports 36.0 mask AP and 39.8 box AP. On pseudo-masks not yet trained here at full size.
"""
_base_ = ['./condinst_r50_fpn_90k_coco_gt.py']

mal_ann_file = 'annotations/instances_train2017_mal.json'

train_dataloader = dict(dataset=dict(ann_file=mal_ann_file))
