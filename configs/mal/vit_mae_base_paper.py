"""MAL with ViT-MAE-B/16 on COCO boxes, the paper's text taken literally (arXiv 2301.03992).

    bash tools/dist_train.sh configs/mal/vit_mae_base_paper.py 8

Differs from the released behaviour in the box expansion (Sec. 3.1), both decoder heads (Sec. 3.2), the CRF's zeta and
omega (Sec. 3.3), and has neither ramps, warm-up, weight decay, a floor of the cosine, nor mixed precision: the text
does not mention them. Padding is not said either and stays wrap-round.
"""
_base_ = ['./vit_mae_base.py']

model = dict(
    network=dict(decoder=dict(pool='max', num_fcs=1, upsample_before=2)),
    crf_loss=dict(mean_field=dict(zeta=0.5, omega=2.0)),
    mil_ramp_iters=0,
    crf_ramp_iters=0)

train_pipeline = [
    dict(type='LoadImageFromFile', imdecode_backend='pillow'),
    dict(type='RoICrop', crop_size=512, expansion='paper', theta=1.2, padding='wrap'),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackRoIInputs'),
]
train_dataloader = dict(dataset=dict(min_area=0, min_side=0, pipeline=train_pipeline))

optim_wrapper = dict(type='OptimWrapper', optimizer=dict(weight_decay=0.0))
param_scheduler = [dict(type='CosineAnnealingLR', by_epoch=True, begin=0, end=10, T_max=10, convert_to_iter_based=True)]
