"""Cascade Mask R-CNN ConvNeXt-S on pseudo-masks (Tables 1 and 7): MMDetection's own recipe.

    bash tools/dist_train.sh configs/phase2/cascade-mask-rcnn_convnext-s_fpn_3x_coco_mal.py 8

The file is the labeler's output (`tools/generate_pseudo_masks.py`), here `mal_ann_file`: `--cfg-options
mal_ann_file=FILE`. Nothing but that file differs from the stock config; validation stays on human masks.

Hardware: 8 GPUs x 2 images (for other totals, `--auto-scale-lr`), mixed precision, 12.3 GB each, 36 epochs. On human
masks MMDetection's model zoo reports 44.8 mask AP and 51.8 box AP. On MAL's masks the paper reports 42.3 mask AP
(retention 94.4 %; test-dev 43.0, 94.5 %); not yet trained here at full size.
"""
_base_ = ['mmdet::convnext/cascade-mask-rcnn_convnext-s-p4-w7_fpn_4conv1fc-giou_amp-ms-crop-3x_coco.py']
custom_imports = dict(imports=['mmpretrain.models', 'mal_mm'], allow_failed_imports=False)

mal_ann_file = 'annotations/instances_train2017_mal.json'

train_dataloader = dict(dataset=dict(ann_file=mal_ann_file))
