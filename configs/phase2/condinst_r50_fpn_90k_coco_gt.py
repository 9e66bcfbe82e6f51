"""CondInst R50 on human masks: what BoxInst is when it has masks.

    bash tools/dist_train.sh configs/phase2/condinst_r50_fpn_90k_coco_gt.py 8

MMDetection's recipe, except that masks are decoded to bitmaps before they are resized: the stock pipeline keeps
polygons (`poly2mask=False`) and would ignore the RLE masks of a labeler, and both runs must treat masks alike.

Hardware: 8 GPUs x 2 images (for other totals, `--auto-scale-lr`), 4.4 GB each, 90000 iterations. With polygons
MMDetection's model zoo reports 36.0 mask AP and 39.8 box AP. Not yet trained here at full size.
"""
_base_ = ['mmdet::condinst/condinst_r50_fpn_ms-poly-90k_coco_instance.py']
custom_imports = dict(imports=['mal_mm'], allow_failed_imports=False)

train_pipeline = _base_.train_pipeline
train_pipeline[1].poly2mask = True  # LoadAnnotations
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
