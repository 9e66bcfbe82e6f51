"""Cascade Mask R-CNN ConvNeXt-S without its masks (Table 7, row without mask supervision).

    bash tools/dist_train.sh configs/phase2/cascade-rcnn_convnext-s_fpn_3x_coco_boxes.py 8

MMDetection's recipe without the mask heads: a Cascade R-CNN that differs from the rows with masks in nothing else.
Any file with the boxes will do, by default COCO's own: `--cfg-options mal_ann_file=FILE`; masks in it are never read.

Hardware: 8 GPUs x 2 images (for other totals, `--auto-scale-lr`), mixed precision, 36 epochs. With masks
MMDetection's model zoo reports 51.8 box AP. Without masks the paper reports 51.5 box AP. Not yet trained here at full
size.
"""
_base_ = ['mmdet::convnext/cascade-mask-rcnn_convnext-s-p4-w7_fpn_4conv1fc-giou_amp-ms-crop-3x_coco.py']
custom_imports = dict(imports=['mmpretrain.models', 'mal_mm'], allow_failed_imports=False)

mal_ann_file = 'annotations/instances_train2017.json'

model = dict(roi_head=dict(mask_roi_extractor=None, mask_head=None))

train_pipeline = _base_.train_pipeline
train_pipeline[1].with_mask = False  # LoadAnnotations
train_dataloader = dict(dataset=dict(ann_file=mal_ann_file, pipeline=train_pipeline))

val_evaluator = dict(metric='bbox')
test_evaluator = val_evaluator
