"""MAL with ViT-MAE-B/16 on COCO boxes, the paper's text taken literally (arXiv 2301.03992 and its supplement).

    bash tools/dist_train.sh configs/mal/vit_mae_base_paper.py 8

Hardware: 8 GPUs x 4 crops, in fp32 and with masks at 512 x 512, so slower than vit_mae_base.py, where the paper's results are.
Not trained here at full size. It differs from the released behaviour in
- box expansion (Sec. 3.1) and both heads of the decoder (Sec. 3.2);
- maps of 1/16, 1/8 and 1/4 of the crop for small, medium and large objects, which V then doubles, and masks as large as the crop
  (supplement, Sec. 2); MIL and CRF loss see them at that size;
- the MIL loss: Eq. 2 as printed, one dice over rows and columns together, with squared maxima above the line as well. On small
  sets it is clearly worse than the released form, on photographs it fills the boxes (docs/paper_measurements.md);
  `--cfg-options model.mil_loss.form=released` takes the other;
- the CRF: zeta 0.5, omega 2 (Sec. 4.2), colours of the crop, not of the student's jittered view, and mean field "till
  convergence": 300 iterations, after which 0.1 % of the labels in a box still differ from those after 3000;
- neither ramps, warm-up, weight decay, a floor of the cosine, mixed precision nor a smallest box: the text has none of them.

Where it is not taken literally, since it cannot be meant:
- Sec. 3.1 gives the left side beta_x and the top theta_x - beta_x, so that x and y share one draw, and the factors have no "1 +".
  But theta_x and theta_y are "for x- and y-direction", so they are shared by left and right, and by top and bottom. Without
  "1 +" boxes would shrink: at theta 1.2 each side has a factor of 0.3 on average, and one below 1 in 98.5 % of draws, where the
  text says "expand" and "include background pixels".
- Alg. 1 adds neighbours' scores that are never negative if they are probabilities, so that all becomes foreground. Read as
  log-odds they push both ways, and it is the mean field that runs here: score + sum of K times the neighbours' scores,
  clamped, at last compared with 0. Its K has |I_i - I_j| where Eq. 4 has the square; Eq. 4 is followed.
- Eq. 5 has 0.001 added to both sums, lest an empty mask divide by 0. Background is forced outside the box, as released.
- Not said and as released: padding by wrap-round, ImageNet's mean and std (the unit of zeta), the jitter's strength.
An FPN, which the text tries and rejects, is vit_mae_base_fpn.py.
"""
_base_ = ['./vit_mae_base.py']

model = dict(
    network=dict(decoder=dict(pool='max', num_fcs=1, upsample_before=2, scales=(1, 2, 4), mask_scale=16)),
    mil_loss=dict(form='paper'),
    crf_loss=dict(mean_field=dict(zeta=0.5, omega=2.0, num_iters=300)),
    crf_view='clean',
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
