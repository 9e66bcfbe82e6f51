"""Mask R-CNN R50 without its masks (Table 7, row without mask supervision).

    bash tools/dist_train.sh configs/phase2/faster-rcnn_r50_fpn_1x_coco_boxes.py 8

MMDetection's Mask R-CNN recipe without the mask head: a Faster R-CNN that differs from the rows with masks in nothing
else. (The stock Faster R-CNN also assigns boxes otherwise.) Any file with the boxes will do, by default COCO's own:
`--cfg-options mal_ann_file=FILE`; masks in it are never read.

Hardware: 8 GPUs x 2 images (for other totals, `--auto-scale-lr`), 12 epochs. MMDetection's model zoo reports 38.2 box
AP with masks and 37.4 for the stock Faster R-CNN. Not yet trained here at full size.
"""
_base_ = ['mmdet::mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py']
custom_imports = dict(imports=['mal_mm'], allow_failed_imports=False)

mal_ann_file = 'annotations/instances_train2017.json'

model = dict(type='FasterRCNN', roi_head=dict(mask_roi_extractor=None, mask_head=None))

train_pipeline = _base_.train_pipeline
train_pipeline[1].with_mask = False  # LoadAnnotations
train_dataloader = dict(dataset=dict(ann_file=mal_ann_file, pipeline=train_pipeline))

val_evaluator = dict(metric='bbox')
test_evaluator = val_evaluator
