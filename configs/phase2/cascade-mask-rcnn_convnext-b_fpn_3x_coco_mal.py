"""Cascade Mask R-CNN ConvNeXt-B on pseudo-masks (Table 1).

    bash tools/dist_train.sh configs/phase2/cascade-mask-rcnn_convnext-b_fpn_3x_coco_mal.py 8

The file is the labeler's output (`tools/generate_pseudo_masks.py`), here `mal_ann_file`: `--cfg-options
mal_ann_file=FILE`. Nothing but that file differs from `cascade-mask-rcnn_convnext-b_fpn_3x_coco_gt.py`; validation
stays on human masks.

Hardware: 8 GPUs x 2 images (for other totals, `--auto-scale-lr`), mixed precision, 36 epochs. On human masks
ConvNeXt's authors report 45.6 mask AP. On MAL's masks the paper reports 42.9 mask AP (retention 94.5 %; test-dev
43.3, 93.9 %); not yet trained here at full size.
"""
_base_ = ['./cascade-mask-rcnn_convnext-b_fpn_3x_coco_gt.py']

mal_ann_file = 'annotations/instances_train2017_mal.json'

train_dataloader = dict(dataset=dict(ann_file=mal_ann_file))
