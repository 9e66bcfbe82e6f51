# The drops of the paper (arXiv 2206.02777, App. B.1): at 0.9 and 0.95 of the run.
_base_ = './160k.py'

param_scheduler = [
    dict(type='MultiStepLR', begin=0, end=160000, by_epoch=False, milestones=[144000, 152000], gamma=0.1)
]
