"""MAL with ViT-MAE-L/16 on COCO boxes, with layer-wise learning rates and stochastic depth.

    bash tools/dist_train.sh configs/mal/vit_mae_large_layer_decay.py 8

Hardware: as vit_mae_large.py. Not in the paper, which trains every encoder alike; these two are from the recipe that MAE's authors
fine-tune this size with: the learning rate of a layer is 0.75 times that of the layer above it (the decoder has the whole), and
stochastic depth grows to 0.2. Not yet trained here at full size.
"""
_base_ = ['./vit_mae_large.py']

model = dict(network=dict(encoder=dict(drop_path_rate=0.2)))
optim_wrapper = dict(
    constructor='mmpretrain.LearningRateDecayOptimWrapperConstructor', paramwise_cfg=dict(layer_decay_rate=0.75))
