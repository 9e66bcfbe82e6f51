import json

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from mal_mm.samples.coco_writer import SplitWriter, box_of_mask, summarize


def test_box_runs_from_first_to_last_pixel_inclusive():
    mask = np.zeros((8, 10), bool)
    mask[2, 3] = mask[5, 7] = True
    assert box_of_mask(mask) == [3, 2, 5, 4]


def test_single_pixel_has_a_box_of_one_by_one():
    mask = np.zeros((4, 4), bool)
    mask[3, 0] = True
    assert box_of_mask(mask) == [0, 3, 1, 1]


def test_empty_mask_has_no_box():
    with pytest.raises(ValueError, match='empty'):
        box_of_mask(np.zeros((4, 4), bool))


def test_boxes_only_file_and_its_twin_differ_in_segmentation_and_area(tmp_path):
    mask = np.zeros((8, 10), bool)
    mask[2:6, 3:8] = True
    mask[2, 3] = False
    writer = SplitWriter(tmp_path / 'new', 'train', 'a test', ['thing', 'other'])
    writer.add_image('a.png', np.zeros((8, 10, 3), np.uint8), [(2, mask)])
    paths = writer.write()

    boxed, masked = (json.loads(paths[key].read_text()) for key in ('train', 'train_gt'))
    assert boxed['images'] == masked['images']
    assert boxed['images'][0] == {
        'id': 1,
        'file_name': 'train/a.png',
        'width': 10,
        'height': 8,
        'license': 1,
    }
    assert [c['name'] for c in boxed['categories']] == ['thing', 'other']
    assert boxed['annotations'] == [
        {
            'id': 1,
            'image_id': 1,
            'category_id': 2,
            'bbox': [3, 2, 5, 4],
            'area': 20,
            'iscrowd': 0,
        }
    ]
    (annotation,) = masked['annotations']
    assert annotation['area'] == 19
    np.testing.assert_array_equal(coco_mask.decode(annotation['segmentation']), mask)
    summary = summarize(paths)
    assert '1 images, 1 boxes (1 small, 0 medium, 0 large)' in summary
    assert '0 thing, 1 other' in summary


def test_nothing_but_whole_files_is_left(tmp_path):
    writer = SplitWriter(tmp_path, 'train', 'a test', ['thing'])
    writer.add_image('a.png', np.zeros((8, 10, 3), np.uint8), [])
    writer.write()
    names = {str(p.relative_to(tmp_path)) for p in tmp_path.rglob('*') if p.is_file()}
    assert names == {'train/a.png', 'train.json', 'train_gt.json'}
