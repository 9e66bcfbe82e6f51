"""Mask DINO Swin-L, semantic segmentation of ADE20K (150 classes), after detection pretraining on Objects365.

    bash tools/dist_train.sh configs/maskdino/maskdino_swin-l_160k_objects365-ade20k-640x640.py 8 \\
        --cfg-options load_from=DETECTOR.pth

DETECTOR.pth is that of maskdino_swin-l_lsj-1280-24e_objects365-coco.py; the learned queries are initialised anew.

Source: arXiv 2206.02777, App. C: 160000 iterations, 900 queries, a moving average of the weights; App. B.1: drops at 0.9
and 0.95 of the run. The authors released neither config nor weights of this run (their list of results has 60.8 mIoU
for it, averaged over scales). The rest is maskdino_r50_160k_ade20k-512x512.py with the 5-scale Swin-L; the crops of 640
px are those of Mask2Former's Swin-L, the average's 0.9997 is DINO's.

Hardware: 8 GPUs x 2 images of 80 GB (for other totals, `--auto-scale-lr`). Not yet trained here at full size.
"""
_base_ = [
    '_base_/models/maskdino_swin-l.py', '_base_/datasets/ade20k_semantic_512x512.py', '_base_/schedules/160k_paper.py'
]

load_from = 'checkpoints/maskdino_swin-l_objects365-boxes.pth'

crop_size = (640, 640)

model = _base_.semantic_model
model.data_preprocessor.batch_augments[0].size = crop_size
model.panoptic_head.decoder.num_queries = 900
model.backbone = dict(init_cfg=None)  # it comes with `load_from`

train_pipeline = _base_.train_pipeline
train_pipeline[2].scales = [(2560, 640 * tenths // 10) for tenths in range(5, 21)]  # RandomChoiceResize
train_pipeline[3].crop_size = crop_size  # RandomCrop
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))

test_pipeline = _base_.test_pipeline
test_pipeline[1].scale = (2560, 640)  # Resize
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader

custom_hooks = [dict(type='EMAHook', momentum=0.0003)]  # evaluation and saved weights are the average's
