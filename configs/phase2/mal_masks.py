"""A fragment: trains any instance segmenter of MMDetection on a pseudo-mask file.

Add it to the `_base_` list of a config of your own, here my_segmenter.py:

    _base_ = ['mmdet::rtmdet/rtmdet-ins_s_8xb32-300e_coco.py', 'mal_mm::phase2/mal_masks.py']
    mal_ann_file = 'annotations/instances_train2017_mal.json'

    bash tools/dist_train.sh my_segmenter.py 8

With MMDetection's own tools/train.py, write `__import__('mal_mm').config_path('phase2/mal_masks.py')` instead of
'mal_mm::phase2/mal_masks.py' (configs/phase2/mal_masks.py). Hardware, schedule and evaluation stay the other base's.

The file takes the place of the annotation file to train on, and masks are decoded to bitmaps (`poly2mask=True`): a
pipeline that keeps polygons ignores RLE masks. Since two bases may not share a key, the fragment holds variables
alone; tools/train.py applies them, and `runner_type` does so where another tool has not.
"""
mal_ann_file = 'annotations/instances_train2017_mal.json'
# masks of lower quality are left out of the mask loss, their boxes still train; 0: all masks train
mal_min_quality = 0
# weigh the mask loss of each object by the quality of its mask
mal_quality_weight = False

runner_type = 'mal_mm.phase2.mal_masks_runner.MalMasksRunner'
