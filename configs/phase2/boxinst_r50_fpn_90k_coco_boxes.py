"""BoxInst R50, which learns masks from boxes alone: the baseline to compare pseudo-masks with.

    bash tools/dist_train.sh configs/phase2/boxinst_r50_fpn_90k_coco_boxes.py 8

MMDetection's own recipe. Any file with the boxes will do, by default COCO's own: `--cfg-options mal_ann_file=FILE`;
masks in it are never read. Needs scikit-image (`pip install scikit-image`) for colours in Lab.

Hardware: 8 GPUs x 2 images (for other totals, `--auto-scale-lr`), 90000 iterations. MMDetection's model zoo reports
30.8 mask AP and 39.4 box AP. Not yet trained here at full size.
"""
_base_ = ['mmdet::boxinst/boxinst_r50_fpn_ms-90k_coco.py']
custom_imports = dict(imports=['mal_mm'], allow_failed_imports=False)

mal_ann_file = 'annotations/instances_train2017.json'

train_dataloader = dict(dataset=dict(ann_file=mal_ann_file))
