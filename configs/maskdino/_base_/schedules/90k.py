# 90000 iterations of 16 images, in float32; the drops of the authors' yaml.
_base_ = './160k.py'

max_iters = 90000

param_scheduler = [
    dict(type='MultiStepLR', begin=0, end=max_iters, by_epoch=False, milestones=[80000, 87000], gamma=0.1)
]
train_cfg = dict(max_iters=max_iters)
