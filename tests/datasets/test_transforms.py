import numpy as np
import pytest
import torch
from mmdet.datasets.transforms import RandomFlip

from mal_mm.datasets import PackRoIInputs, RoICrop
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
