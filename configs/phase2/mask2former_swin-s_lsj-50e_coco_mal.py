"""Mask2Former Swin-S on pseudo-masks (Table 1): MMDetection's own recipe.

    bash tools/dist_train.sh configs/phase2/mask2former_swin-s_lsj-50e_coco_mal.py 8

The file is the labeler's output (`tools/generate_pseudo_masks.py`), here `mal_ann_file`: `--cfg-options
mal_ann_file=FILE`. Nothing but that file differs from the stock config; validation stays on human masks.

Hardware: 8 GPUs x 2 images (for other totals, `--auto-scale-lr`), 18.8 GB each, 368750 iterations (50 epochs) with
large-scale jitter at 1024 px. On human masks MMDetection's model zoo reports 46.1 mask AP and 49.3 box AP. On MAL's
masks the paper reports 43.3 mask AP (retention 93.9 %; test-dev 44.1, 93.8 %); not yet trained here at full size.
"""
_base_ = ['mmdet::mask2former/mask2former_swin-s-p4-w7-224_8xb2-lsj-50e_coco.py']
custom_imports = dict(imports=['mal_mm'], allow_failed_imports=False)

mal_ann_file = 'annotations/instances_train2017_mal.json'

train_dataloader = dict(dataset=dict(ann_file=mal_ann_file))
