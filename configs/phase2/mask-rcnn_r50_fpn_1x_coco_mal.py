"""Mask R-CNN R50 on pseudo-masks (Table 7, do masks help the boxes?): MMDetection's own recipe.

    bash tools/dist_train.sh configs/phase2/mask-rcnn_r50_fpn_1x_coco_mal.py 8

The file is the labeler's output (`tools/generate_pseudo_masks.py`), here `mal_ann_file`: `--cfg-options
mal_ann_file=FILE`. Nothing but that file differs from the stock config; validation stays on human masks.

Hardware: 8 GPUs x 2 images (for other totals, `--auto-scale-lr`), 4.4 GB each, 12 epochs. On human masks
MMDetection's model zoo reports 38.2 box AP and 34.7 mask AP. On pseudo-masks not yet trained here at full size.
"""
_base_ = ['mmdet::mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py']
custom_imports = dict(imports=['mal_mm'], allow_failed_imports=False)

mal_ann_file = 'annotations/instances_train2017_mal.json'

train_dataloader = dict(dataset=dict(ann_file=mal_ann_file))
