"""SOLOv2 X101-64x4d-DCN on pseudo-masks (Table 1): MMDetection's own recipe.

    bash tools/dist_train.sh configs/phase2/solov2_x101-dcn_fpn_3x_coco_mal.py 8

The file is the labeler's output (`tools/generate_pseudo_masks.py`), here `mal_ann_file`: `--cfg-options
mal_ann_file=FILE`. Nothing but that file differs from the stock config; validation stays on human masks.

Hardware: 8 GPUs x 2 images (for other totals, `--auto-scale-lr`), 11.3 GB each, 36 epochs. On human masks
MMDetection's model zoo reports 42.4 mask AP. On MAL's masks the paper reports 38.9 mask AP (retention 91.7 %;
test-dev 39.1, 91.6 %); not yet trained here at full size.
"""
_base_ = ['mmdet::solov2/solov2_x101-dcn_fpn_ms-3x_coco.py']
custom_imports = dict(imports=['mal_mm'], allow_failed_imports=False)

mal_ann_file = 'annotations/instances_train2017_mal.json'

train_dataloader = dict(dataset=dict(ann_file=mal_ann_file))
