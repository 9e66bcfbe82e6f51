import json

import numpy as np
import pytest
import torch
from mmdet.datasets.transforms import RandomFlip
from pycocotools import mask as coco_mask

from mal_mm.datasets import LoadStartMask, PackRoIInputs, RoICrop
from mal_mm.formats import AnnotationError
from mal_mm.geometry import box_from_crop, box_to_crop, crop_window, expand_fixed, expand_randomly

IMAGE = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
BOX = np.float32([10, 8, 30, 24])


def crop(box=BOX, **config):
    return RoICrop(crop_size=32, **config)({'img': IMAGE, 'box': np.float32(box)})


def test_the_fixed_expansion_makes_the_labeling_crop():
    results = crop(expansion='fixed', margin=0.3)
    window = expand_fixed(BOX)[0]
    assert results['window'].tolist() == window.tolist() == [7, 5, 34, 28]
    np.testing.assert_array_equal(results['img'], crop_window(IMAGE, window, 32))
    assert results['img_shape'] == (32, 32)
    crop_box = results['gt_bboxes'].tensor[0].numpy()
    np.testing.assert_array_equal(crop_box, box_to_crop(BOX, window, (40, 60), 32))
    # the box covers the pixels 10..30 and 8..24
    np.testing.assert_allclose(box_from_crop(crop_box, window, 32), [10, 8, 31, 25], atol=0.85)


@pytest.mark.parametrize('expansion', ['released', 'paper'])
def test_random_windows_come_from_numpys_global_generator(expansion):
    np.random.seed(5)
    window = crop(expansion=expansion)['window']
    expected = expand_randomly(BOX, 1.2, np.random.RandomState(5), expansion)
    assert window.tolist() == expected.tolist()


def test_the_window_is_drawn_around_what_lies_in_the_image():
    results = crop([50, 30, 5e8, 1e9], expansion='fixed', margin=0)
    assert results['window'].tolist() == [50, 30, 61, 41]
    beside = crop([100, 30, 120, 35], expansion='fixed')
    assert beside['img'].shape == (32, 32, 3)
    assert beside['gt_bboxes'].tensor.tolist() == [[0, 0, 0, 0]]


def test_padding_and_its_colour_reach_the_crop():
    outside = {'box': [0, 0, 4, 4], 'expansion': 'fixed', 'margin': 3}
    wrapped = crop(**outside)['img']
    grey = crop(**outside, padding='mean', fill=(9, 9, 9))['img']
    assert (grey[0, 0] == 9).all()
    assert (wrapped[0] != grey[0]).any()


@pytest.mark.parametrize(
    ('config', 'message'),
    [
        ({'expansion': 'both'}, "`expansion` must be one of .*, got 'both'"),
        ({'padding': 'zero'}, "`padding` must be one of .*, got 'zero'"),
        ({'crop_size': 0}, 'got 0, 1.2, 0.3'),
        ({'theta': -1}, 'got 512, -1, 0.3'),
        ({'margin': -1}, 'got 512, 1.2, -1'),
    ],
)
def test_arguments_outside_their_range_are_refused(config, message):
    with pytest.raises(ValueError, match=message):
        RoICrop(**config)


def test_a_flipped_crop_carries_its_box_with_it():
    plain = crop(expansion='fixed')
    x0, y0, x1, y1 = plain['gt_bboxes'].tensor[0].tolist()
    flipped = RandomFlip(prob=1.0)(crop(expansion='fixed'))
    assert flipped['gt_bboxes'].tensor.tolist() == [[32 - x1, y0, 32 - x0, y1]]
    np.testing.assert_array_equal(flipped['img'], plain['img'][:, ::-1])


def test_the_packed_sample_holds_one_box_and_its_way_back():
    results = crop(expansion='fixed')
    results.update(img_id=4, img_path='a.jpg', box_area=320.0, box_index=2)
    results['gt_bboxes_labels'] = np.array([1])
    packed = PackRoIInputs()(results)
    assert packed['inputs'].shape == (3, 32, 32)
    assert packed['inputs'].dtype == torch.uint8
    sample = packed['data_samples']
    assert sample.gt_instances.labels.tolist() == [1]
    assert len(sample.gt_instances.bboxes) == 1
    assert (sample.img_id, sample.box_index, sample.box_area) == (4, 2, 320.0)
    assert sample.window.tolist() == [7, 5, 34, 28]


# -- start masks ----------------------------------------------------------------------------------


def write_masks(path, mask, **changes):
    rle = coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8))
    annotation = {'id': 7, 'image_id': 1, 'category_id': 1, 'bbox': [10, 8, 20, 16]}
    annotation['segmentation'] = {'size': rle['size'], 'counts': rle['counts'].decode()}
    content = {
        'images': [{'id': 1, 'file_name': 'a.png', 'width': 60, 'height': 40}],
        'annotations': [{**annotation, **changes}],
        'categories': [{'id': 1, 'name': 'thing'}],
        'mal_mm': {'config': 'instant'},
    }
    path.write_text(json.dumps(content))
    return content


def load_mask(path, ann_id=7, size_hw=(40, 60)):
    sample = {'ann_id': ann_id, 'ori_shape': size_hw, 'img_path': 'a.png'}
    return LoadStartMask(path)(sample)['start_mask']


@pytest.fixture
def mask():
    mask = np.zeros((40, 60), np.uint8)
    mask[10:20, 12:28] = 1
    return mask


def test_start_mask_is_that_of_the_samples_annotation(tmp_path, mask):
    write_masks(tmp_path / 'masks.json', mask)
    assert np.array_equal(load_mask(tmp_path / 'masks.json'), mask)
    assert not load_mask(tmp_path / 'masks.json', ann_id=8).any()
    # a box moved to the background has no annotation
    assert not load_mask(tmp_path / 'masks.json', ann_id=None).any()


@pytest.mark.parametrize('mark', [{'mal_flag': 'empty_mask'}, {'mal_skipped': 'no image'}])
def test_masks_that_no_labeler_has_drawn_are_none(tmp_path, mask, mark):
    write_masks(tmp_path / 'masks.json', mask, **mark)
    assert not load_mask(tmp_path / 'masks.json').any()


def test_true_masks_are_refused(tmp_path, mask):
    content = write_masks(tmp_path / 'masks.json', mask)
    del content['mal_mm']
    (tmp_path / 'masks.json').write_text(json.dumps(content))
    with pytest.raises(AnnotationError, match=r'masks\.json .* must not see true masks'):
        load_mask(tmp_path / 'masks.json')


def test_masks_of_other_images_are_refused(tmp_path, mask):
    write_masks(tmp_path / 'masks.json', mask)
    with pytest.raises(AnnotationError, match=r'annotation 7 is 40 x 60 .* a\.png 80 x 60'):
        load_mask(tmp_path / 'masks.json', size_hw=(80, 60))


def cut_mask(mask, **config):
    sample = {'img': 255 * np.repeat(mask[..., None], 3, axis=2), 'box': BOX, 'start_mask': mask}
    return RoICrop(crop_size=32, **config)(sample)


@pytest.mark.parametrize('flip', [0.0, 1.0])
def test_start_mask_follows_the_pixels_of_its_crop(mask, flip):
    np.random.seed(0)
    results = RandomFlip(prob=flip)(cut_mask(mask))
    (found,) = results['gt_masks'].masks
    # the image is white where the mask is
    assert np.array_equal(found > 0, results['img'][..., 0] > 127)
    assert found.any() and not found.all()
    assert 'start_mask' not in results


def test_start_mask_does_not_wrap_round_with_the_image():
    mask = np.zeros((40, 60), np.uint8)
    mask[:, 30:] = 1
    sample = {'img': IMAGE, 'box': np.float32([0, 0, 20, 20]), 'start_mask': mask}
    results = RoICrop(crop_size=32, expansion='fixed', margin=1, padding='wrap')(sample)
    # the window is [-10, 31): left of the image the pixels of its right side come round
    (found,) = results['gt_masks'].masks
    assert not found[:, :29].any()


def test_packed_sample_holds_the_mask_of_its_box(mask):
    sample = {**cut_mask(mask), 'gt_bboxes_labels': np.array([3])}
    packed = PackRoIInputs(meta_keys=())(sample)
    assert packed['data_samples'].gt_instances.masks.masks.shape == (1, 32, 32)
