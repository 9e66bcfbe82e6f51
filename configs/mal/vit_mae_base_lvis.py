"""MAL with ViT-MAE-B/16 on LVIS v1 boxes, for the masks that Table 2's segmenters learn from.

    bash tools/dist_train.sh configs/mal/vit_mae_base_lvis.py 8

Hardware: as vit_mae_base.py, of which only the boxes differ. Paper: about 35 hours on 8 V100; segmenters trained on its masks
keep 92.9 to 97.4 % of the mask AP that human masks give (Table 2). With masks of a labeler trained on COCO they lose 0.3 to
0.4 AP more. Not yet trained here at full size. Data: see _base_/datasets/lvis_v1_boxes.py; the file is read by this package's
own class, which needs neither the `lvis` package nor 10 GB of memory.
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
