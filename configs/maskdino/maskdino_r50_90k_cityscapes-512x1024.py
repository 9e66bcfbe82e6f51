"""Mask DINO R50, semantic segmentation of Cityscapes (19 classes), 90000 iterations.

    bash tools/dist_train.sh configs/maskdino/maskdino_r50_90k_cityscapes-512x1024.py 8

Source: arXiv 2206.02777, App. B.1, and the authors' cityscapes maskdino_R50_bs16_90k_steplr.yaml: 3 levels, 100 learned
queries, no AMP, batch norms that learn from all GPUs. Its learning rate drops at 80000 and 87000; the paper prints 0.9
and 0.95 of the run: `--cfg-options 'param_scheduler.0.milestones=[81000,85500]'`. The paper also says 300 queries:
`model.panoptic_head.decoder.num_queries=300`.
Data: data/cityscapes/ as _base_/datasets/cityscapes_semantic_512x1024.py says.

Hardware: 8 GPUs x 2 images (for other totals, `--auto-scale-lr`); the paper's 4 A100 have 4 each. Not yet trained here at
full size.
"""
_base_ = ['_base_/models/maskdino_r50.py', '_base_/datasets/cityscapes_semantic_512x1024.py', '_base_/schedules/90k.py']

model = _base_.semantic_model
model.backbone = dict(norm_cfg=dict(type='SyncBN', requires_grad=True), norm_eval=False)
model.panoptic_head.pixel_decoder = dict(num_extra_levels=0, feedforward_channels=1024, feature_order='high2low')
model.panoptic_head.decoder.num_queries = 100
