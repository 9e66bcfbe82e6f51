"""Mask DINO R50, semantic segmentation of ADE20K (150 classes), 160000 iterations.

    bash tools/dist_train.sh configs/maskdino/maskdino_r50_160k_ade20k-512x512.py 8

Source: arXiv 2206.02777 and the authors' maskdino_R50_bs16_160k_steplr.yaml: 3 levels, 100 learned queries, no AMP.
The yaml's learning rate drops at 135000 and 150000; the paper prints 0.9 and 0.95 of the run:
`--cfg-options 'param_scheduler.0.milestones=[144000,152000]'`, and 300 queries: `model.panoptic_head.decoder.num_queries=300`.
Data: ADEChallengeData2016 in data/, as MMDetection's ade20k_semantic.py says.

Hardware: 8 GPUs x 2 images (for other totals, `--auto-scale-lr`). The authors report 48.7 mIoU; not yet trained here at
full size.
"""
_base_ = ['_base_/models/maskdino_r50.py', '_base_/datasets/ade20k_semantic_512x512.py', '_base_/schedules/160k.py']

model = _base_.semantic_model
model.panoptic_head.pixel_decoder = dict(num_extra_levels=0, feedforward_channels=1024, feature_order='high2low')
model.panoptic_head.decoder.num_queries = 100
