"""MAL with ViT-MAE-B/16 on LVIS v1 boxes, for the masks that Table 2's segmenters learn from.

    bash tools/dist_train.sh configs/mal/vit_mae_base_lvis.py 8

Hardware: as vit_mae_base.py, of which only the boxes differ; a labeler trained on COCO's boxes will do as well, since classes are
not told apart. Data: see _base_/datasets/lvis_v1_boxes.py; the file is read by this package's own class, which needs neither the
`lvis` package nor 10 GB of memory. Not yet trained here at full size.
"""
_base_ = [
    './_base_/models/mal_vit_base.py',
    './_base_/datasets/lvis_v1_boxes.py',
    './_base_/schedules/mal_10e.py',
    './_base_/default_runtime.py',
]
train_dataloader = dict(
    dataset=dict(
        dataset=dict(
            _delete_=True,
            type='CocoBoxDataset',
            data_root=_base_.data_root,
            ann_file='annotations/lvis_v1_train.json',
            data_prefix=dict(img=''))))
