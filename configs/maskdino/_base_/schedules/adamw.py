_base_ = '../default_runtime.py'

# No decay for norms (of a ResNet those that are not frozen), embeddings and Swin's tables. The longest key that a parameter's name contains wins, and a norm
# under such a key is none for `norm_decay_mult`; hence the backbone's norms by name. A key `embed` would take the
# class, box and mask heads along (class_embed, ...) and `level_embed`, which the authors let decay.
no_decay = dict(decay_mult=0.0)
backbone_no_decay = dict(lr_mult=0.1, decay_mult=0.0)

optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=1e-4, weight_decay=0.05, eps=1e-8, betas=(0.9, 0.999)),
    paramwise_cfg=dict(
        custom_keys={
            'backbone': dict(lr_mult=0.1),
            'backbone.norm': backbone_no_decay,
            'patch_embed.norm': backbone_no_decay,
            'downsample.norm': backbone_no_decay,
            '.norm1.weight': backbone_no_decay,
            '.norm1.bias': backbone_no_decay,
            '.norm2.weight': backbone_no_decay,
            '.norm2.bias': backbone_no_decay,
            '.bn1.weight': backbone_no_decay,
            '.bn1.bias': backbone_no_decay,
            '.bn2.weight': backbone_no_decay,
            '.bn2.bias': backbone_no_decay,
            '.bn3.weight': backbone_no_decay,
            '.bn3.bias': backbone_no_decay,
            'downsample.1.': backbone_no_decay,
            'absolute_pos_embed': backbone_no_decay,
            'relative_position_bias_table': backbone_no_decay,
            'decoder.label_enc': no_decay,
            'decoder.query_feat': no_decay,
            'decoder.query_embed': no_decay,
        },
        norm_decay_mult=0.0),
    clip_grad=dict(max_norm=0.01, norm_type=2))

# 8 GPUs x 2 images; other totals: `--auto-scale-lr`
auto_scale_lr = dict(enable=False, base_batch_size=16)

val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
