"""BoxInst, masks from boxes without pseudo-masks, to compare with on the drawn `shapes` set.

    python tools/make_sample_dataset.py shapes data/shapes --num-images 500 --num-unseen 100
    python benchmarks/retention_shapes.py data/shapes
    python tools/train.py configs/phase2/sample_shapes_boxinst.py

Hardware: two CPU cores, about half an hour. The network, images and schedule are those of sample_shapes_condinst.py; the mask losses are
MMDetection's BoxInst (projection of the box, colour similarity of neighbours), and only boxes are read.
"""
_base_ = ['./sample_shapes_condinst.py']

mal_ann_file = None
data_preprocessor = dict(
    type='BoxInstDataPreprocessor',
    mask_stride=2,
    pairwise_size=3,
    pairwise_dilation=2,
    pairwise_color_thresh=0.3,
    bottom_pixels_removed=0)
model = dict(
    type='BoxInst',
    data_preprocessor=data_preprocessor,
    bbox_head=dict(type='BoxInstBboxHead'),
    mask_head=dict(type='BoxInstMaskHead', warmup_iters=180))  # stock: 10000 of 90000 iterations

train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='Resize', scale=(_base_.side, _base_.side), keep_ratio=True),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackDetInputs'),
]
train_dataloader = dict(dataset=dict(ann_file='train.json', pipeline=train_pipeline))
