"""Mask R-CNN R101-DCN on LVIS v1 with human masks (Table 2 as it is labelled).

    bash tools/dist_train.sh configs/phase2/mask-rcnn_r101-dcn_fpn_1x_lvis-v1_gt.py 8

Table 2 names a ResNet-101-DCN, but its figures on human masks are those of MMDetection's plain R101
(mask-rcnn_r101_fpn_1x_lvis-v1_mal.py). This is the model that the name says; the paper's figures are not its.

MMDetection's R101 recipe for LVIS v1 (oversampling at 1e-3, multi-scale), with modulated deformable convolutions
(DCNv2) in stages c3 to c5 as in its dcnv2 configs. Evaluation needs the `lvis` package.

Hardware: 8 GPUs x 2 images (for other totals, `--auto-scale-lr`), 12 epochs. Without deformable convolutions
MMDetection's model zoo reports 23.6 mask AP; with them it has no model, and it is not yet trained here at full size.
"""
_base_ = ['mmdet::lvis/mask-rcnn_r101_fpn_sample1e-3_ms-1x_lvis-v1.py']
custom_imports = dict(imports=['mal_mm'], allow_failed_imports=False)

model = dict(
    backbone=dict(
        dcn=dict(type='DCNv2', deform_groups=1, fallback_on_stride=False),
        stage_with_dcn=(False, True, True, True)))
