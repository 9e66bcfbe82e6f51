"""Mask R-CNN X101-32x4d on LVIS v1 with pseudo-masks (Tables 2 and 7): MMDetection's own recipe.

    bash tools/dist_train.sh configs/phase2/mask-rcnn_x101-32x4d_fpn_1x_lvis-v1_mal.py 8

The file comes from a labeler trained on the boxes of LVIS; the paper has a row with one trained on COCO, too
(vit_mae_base.py):

    python tools/generate_pseudo_masks.py configs/mal/vit_mae_base_lvis.py LABELER.pth --img-root data/lvis_v1 \\
        --ann data/lvis_v1/annotations/lvis_v1_train.json --out data/lvis_v1/annotations/lvis_v1_train_mal.json

Another one: `--cfg-options mal_ann_file=FILE`. Nothing but that file differs from the stock config; validation stays
on human masks, and needs the `lvis` package.

Hardware: 8 GPUs x 2 images (for other totals, `--auto-scale-lr`), 12 epochs. On human masks MMDetection's model zoo
reports 25.5 mask AP and 26.7 box AP. On MAL's masks the paper reports 23.7 mask AP (retention 92.9 %), with COCO's
labeler 23.3; not yet trained here at full size.
"""
_base_ = ['mmdet::lvis/mask-rcnn_x101-32x4d_fpn_sample1e-3_ms-1x_lvis-v1.py']
custom_imports = dict(imports=['mal_mm'], allow_failed_imports=False)

mal_ann_file = 'annotations/lvis_v1_train_mal.json'

train_dataloader = dict(dataset=dict(dataset=dict(ann_file=mal_ann_file)))
