_base_ = './adamw.py'

max_epochs = 12

optim_wrapper = dict(type='AmpOptimWrapper', loss_scale='dynamic')

param_scheduler = [dict(type='MultiStepLR', begin=0, end=max_epochs, by_epoch=True, milestones=[11], gamma=0.1)]

train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=max_epochs, val_interval=1)
default_hooks = dict(checkpoint=dict(max_keep_ckpts=3))
