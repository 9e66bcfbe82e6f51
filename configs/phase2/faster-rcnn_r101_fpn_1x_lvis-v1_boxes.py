"""Mask R-CNN R101 on LVIS v1 without its masks (Table 7, row without mask supervision).

    bash tools/dist_train.sh configs/phase2/faster-rcnn_r101_fpn_1x_lvis-v1_boxes.py 8

MMDetection's Mask R-CNN recipe without the mask head: a Faster R-CNN that differs from the rows with masks in nothing
else. The paper calls the row ResNet-101-DCN, see mask-rcnn_r101_fpn_1x_lvis-v1_mal.py. Any file with the boxes will
do, by default LVIS's own: `--cfg-options mal_ann_file=FILE`; masks in it are never read. Validation needs the `lvis`
package.

Hardware: 8 GPUs x 2 images (for other totals, `--auto-scale-lr`), 12 epochs. With masks MMDetection's model zoo
reports 24.6 box AP. Without masks the paper reports 24.4 box AP. Not yet trained here at full size.
"""
_base_ = ['mmdet::lvis/mask-rcnn_r101_fpn_sample1e-3_ms-1x_lvis-v1.py']
custom_imports = dict(imports=['mal_mm'], allow_failed_imports=False)

mal_ann_file = 'annotations/lvis_v1_train.json'

model = dict(type='FasterRCNN', roi_head=dict(mask_roi_extractor=None, mask_head=None))

train_pipeline = _base_.train_pipeline
train_pipeline[1].with_mask = False  # LoadAnnotations
train_dataloader = dict(dataset=dict(dataset=dict(ann_file=mal_ann_file, pipeline=train_pipeline)))

val_evaluator = dict(metric='bbox')
test_evaluator = val_evaluator
