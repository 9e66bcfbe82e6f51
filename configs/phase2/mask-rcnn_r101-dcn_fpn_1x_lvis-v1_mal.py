"""Mask R-CNN R101-DCN on LVIS v1 with pseudo-masks (Table 2 as it is labelled).

    bash tools/dist_train.sh configs/phase2/mask-rcnn_r101-dcn_fpn_1x_lvis-v1_mal.py 8

Table 2 names a ResNet-101-DCN, but its figures on human masks are those of MMDetection's plain R101
(mask-rcnn_r101_fpn_1x_lvis-v1_mal.py). This is the model that the name says; the paper's figures are not its.

The file comes from a labeler trained on the boxes of LVIS:

    python tools/generate_pseudo_masks.py configs/mal/vit_mae_base_lvis.py LABELER.pth --img-root data/lvis_v1 \\
        --ann data/lvis_v1/annotations/lvis_v1_train.json --out data/lvis_v1/annotations/lvis_v1_train_mal.json

Another one: `--cfg-options mal_ann_file=FILE`. Nothing but that file differs from
`mask-rcnn_r101-dcn_fpn_1x_lvis-v1_gt.py`; validation stays on human masks, and needs the `lvis` package.

Hardware: 8 GPUs x 2 images (for other totals, `--auto-scale-lr`), 12 epochs. No human-mask figure in MMDetection's
model zoo (R101 without DCN: 23.6 mask AP). On pseudo-masks not yet trained here at full size.
"""
_base_ = ['./mask-rcnn_r101-dcn_fpn_1x_lvis-v1_gt.py']

mal_ann_file = 'annotations/lvis_v1_train_mal.json'

train_dataloader = dict(dataset=dict(dataset=dict(ann_file=mal_ann_file)))
