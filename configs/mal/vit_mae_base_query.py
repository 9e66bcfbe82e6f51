"""Ablation (Table 3): MAL with ViT-MAE-B and a query-based mask decoder, on COCO boxes.

    bash tools/dist_train.sh configs/mal/vit_mae_base_query.py 8

Hardware: 8 GPUs x 4 crops. One query and nine masked-attention layers, the mask after each of which is trained, as in
Mask2Former; but on one map, where Mask2Former has three. A lighter form: `--cfg-options model.network.decoder.num_layers=3
model.network.decoder.deep_supervision=False`. The paper obtained no reasonable result with a query decoder. Not trained here
at full size.
"""
_base_ = ['./vit_mae_base.py']

model = dict(
    network=dict(
        decoder=dict(
            _delete_=True,
            type='QueryDecoder',
            channels=256,
            num_layers=9,
            deep_supervision=True,
            num_heads=8,
            upsample_before=3)))
