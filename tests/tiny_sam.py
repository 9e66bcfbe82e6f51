"""SAM, SAM 2 and SAM 3 of some ten thousand random weights, as folders like the published ones."""

from __future__ import annotations

from pathlib import Path

import torch

SIDES = {'sam': 64, 'sam2': 64, 'sam3': 56}
REASON = 'takes the library `transformers` (pip install "mal-mm[sam]")'


def image_processor(name: str) -> type:
    """The one of torchvision, under its name in versions 5.0 and later ones."""
    import transformers as hf

    fast = f'{name}ImageProcessorFast'
    return getattr(hf, fast, None) or getattr(hf, f'{name}ImageProcessor')


def write_sam(family: str, folder: Path) -> Path:
    """Network, weights and processor, as `save_pretrained` of the library writes them."""
    import transformers as hf

    side, config = SIDES[family], dict(hidden_size=32)
    decoder = dict(hidden_size=32, mlp_dim=32, num_attention_heads=2)
    if family == 'sam':
        vision = dict(
            hidden_size=32, num_hidden_layers=2, num_attention_heads=2, image_size=side,
            patch_size=16, window_size=2, global_attn_indexes=[1], output_channels=32,
            num_pos_feats=16, mlp_dim=32,
        )  # fmt: skip
        config = hf.SamConfig(
            vision_config=vision,
            prompt_encoder_config=dict(hidden_size=32, image_size=side, patch_size=16),
            mask_decoder_config=decoder,
        )
        model = hf.SamModel(config)
        images = image_processor('Sam')(
            size={'longest_edge': side}, pad_size={'height': side, 'width': side}
        )
        processor = hf.SamProcessor(images)
    elif family == 'sam2':
        backbone = dict(
            model_type='sam2_hiera_det_model', hidden_size=8, num_attention_heads=1,
            image_size=[side, side], blocks_per_stage=[1, 1, 2, 1],
            embed_dim_per_stage=[8, 16, 32, 64], num_attention_heads_per_stage=[1, 2, 4, 8],
            window_size_per_stage=[4, 4, 4, 4], global_attention_blocks=[3],
        )  # fmt: skip
        vision = dict(
            backbone_config=backbone, backbone_channel_list=[64, 32, 16, 8],
            backbone_feature_sizes=[[16, 16], [8, 8], [4, 4]], fpn_hidden_size=32,
        )  # fmt: skip
        config = hf.Sam2Config(
            vision_config=vision,
            prompt_encoder_config=dict(hidden_size=32, image_size=side),
            mask_decoder_config=decoder,
        )
        model = hf.Sam2Model(config)
        images = image_processor('Sam2')(size={'height': side, 'width': side})
        processor = hf.Sam2Processor(images)
    else:
        backbone = dict(
            model_type='sam3_vit_model', hidden_size=32, intermediate_size=32, image_size=side,
            num_hidden_layers=2, num_attention_heads=2, patch_size=14, window_size=2,
            global_attn_indexes=[1], pretrain_image_size=28,
        )  # fmt: skip
        vision = dict(
            model_type='sam3_vision_model', backbone_config=backbone, fpn_hidden_size=32,
            backbone_feature_sizes=[[16, 16], [8, 8], [4, 4]],
        )  # fmt: skip
        config = hf.Sam3TrackerConfig(
            vision_config=vision,
            prompt_encoder_config=dict(hidden_size=32, image_size=side),
            mask_decoder_config=decoder,
        )
        model = hf.Sam3TrackerModel(config)
        images = image_processor('Sam3')(size={'height': side, 'width': side})
        processor = hf.Sam3TrackerProcessor(images)
    torch.manual_seed(0)
    with torch.no_grad():  # the library's first weights are so small that all masks are alike
        for parameter in model.parameters():
            parameter.normal_(0, 0.3)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def sam_config(family: str, checkpoint: object, **test_cfg: object) -> dict:
    """Config of the labeler, with the options of configs/mal/sam_*."""
    options = dict(
        refine='none', crop_size=SIDES[family], margin=1.0, mask_threshold=0.5, box_tolerance=0.0
    )
    return dict(
        type='PromptedLabeler', family=family, checkpoint=str(checkpoint), precision='fp32',
        test_cfg={**options, **test_cfg},
    )  # fmt: skip
