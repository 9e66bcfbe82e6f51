# 368750 iterations of 16 images, about 50 epochs of COCO; their warm-up of 10 iterations starts at factor 1.
_base_ = './adamw.py'

max_iters = 368750

optim_wrapper = dict(type='AmpOptimWrapper', loss_scale='dynamic')

param_scheduler = [
    dict(type='MultiStepLR', begin=0, end=max_iters, by_epoch=False, milestones=[327778, 355092], gamma=0.1)
]

# every 5000 iterations, and at the end
train_cfg = dict(
    type='IterBasedTrainLoop',
    max_iters=max_iters,
    val_interval=5000,
    dynamic_intervals=[(max_iters // 5000 * 5000 + 1, max_iters)])
default_hooks = dict(checkpoint=dict(by_epoch=False, interval=5000, max_keep_ckpts=3, save_last=True))
log_processor = dict(by_epoch=False)
