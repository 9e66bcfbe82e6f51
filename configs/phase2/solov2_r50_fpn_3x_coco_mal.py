"""SOLOv2 R50 on boxes that a labeler has turned into masks (Table 1): MMDetection's own recipe.

    bash tools/dist_train.sh configs/phase2/solov2_r50_fpn_3x_coco_mal.py 8

    python tools/generate_pseudo_masks.py configs/mal/vit_mae_base.py LABELER.pth \\
        --ann data/coco/annotations/instances_train2017.json --img-root data/coco/train2017 \\
        --out data/coco/annotations/instances_train2017_mal.json

makes the file that it trains on. Another one: `--cfg-options mal_ann_file=FILE`. Nothing but that file differs from
the stock config, so that the ratio of both mask APs is the retention rate; validation stays on human masks.

Hardware: 8 GPUs x 2 images (for other totals, `--auto-scale-lr`), 5.1 GB each, 36 epochs. On human masks
MMDetection's model zoo reports 37.5 mask AP. On MAL's masks the paper reports 35.0 mask AP (retention 93.3 %;
test-dev 35.7, 93.0 %); not yet trained here at full size.
"""
_base_ = ['mmdet::solov2/solov2_r50_fpn_ms-3x_coco.py']
custom_imports = dict(imports=['mal_mm'], allow_failed_imports=False)

mal_ann_file = 'annotations/instances_train2017_mal.json'

train_dataloader = dict(dataset=dict(ann_file=mal_ann_file))
