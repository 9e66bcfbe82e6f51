# Released recipe: AdamW, 1.5e-6 per image, 1 epoch of warm-up, cosine down to 0.2 * lr, 10 epochs, batch 32, fp16.
max_epochs = 10
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=max_epochs)

optim_wrapper = dict(
    # mixed precision on a GPU (float16; dtype='bfloat16' where that overflows) and on CPUs with bfloat16
    type='MixedPrecisionOptimWrapper',
    optimizer=dict(type='AdamW', lr=1.5e-6 * 32, betas=(0.9, 0.9), weight_decay=5e-4))

param_scheduler = [
    dict(type='LinearLR', start_factor=1e-3, by_epoch=True, begin=0, end=1, convert_to_iter_based=True),
    dict(
        type='CosineAnnealingLR',
        eta_min_ratio=0.2,
        by_epoch=True,
        begin=1,
        end=max_epochs,
        T_max=max_epochs - 1,
        convert_to_iter_based=True),
]

# 8 GPUs x 4 crops; `--auto-scale-lr` fits lr to another total
auto_scale_lr = dict(base_batch_size=32, enable=False)
