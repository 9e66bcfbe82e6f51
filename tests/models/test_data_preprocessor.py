import numpy as np
import pytest
import torch
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmdet.structures.bbox import HorizontalBoxes
from mmdet.structures.mask import BitmapMasks
from mmengine.structures import InstanceData

from mal_mm.models.data_preprocessor import IMAGENET_MEAN, IMAGENET_STD

NO_VIEW = {'jitter': None, 'grey_prob': 0, 'blur_prob': 0}


def build(**config):
    return MODELS.build({'type': 'MALDataPreprocessor', **config})


def batch(N=3, S=16, seed=0):
    generator = torch.Generator().manual_seed(seed)
    samples = []
    for n in range(N):
        sample = DetDataSample(metainfo={'box_area': 100.5 * (n + 1)})
        box = torch.tensor([[1.0, 2, 10, 11 + n]])
        boxes = HorizontalBoxes(box) if n % 2 else box
        sample.gt_instances = InstanceData(bboxes=boxes, labels=torch.zeros(1, dtype=torch.long))
        samples.append(sample)
    crops = torch.randint(0, 256, (N, 3, S, S), generator=generator, dtype=torch.uint8)
    return {'inputs': list(crops), 'data_samples': samples}


def colours(images):
    """Normalised -> RGB in [0, 255]."""
    return images * torch.tensor(IMAGENET_STD).view(3, 1, 1) + torch.tensor(IMAGENET_MEAN).view(
        3, 1, 1
    )


def one_colour(*channels):
    data = batch(N=1, S=8)
    data['inputs'] = [torch.tensor(channels, dtype=torch.uint8).view(3, 1, 1).expand(3, 8, 8)]
    return data


def test_bgr_crops_become_normalised_rgb():
    images = build()(one_colour(10, 20, 30))['inputs']['images']
    expected = [(30 - 123.675) / 58.395, (20 - 116.28) / 57.12, (10 - 103.53) / 57.375]
    assert images.shape == (1, 3, 8, 8)
    assert images.dtype == torch.float32
    for channel, value in enumerate(expected):
        torch.testing.assert_close(images[0, channel], torch.full((8, 8), value))


def test_rgb_crops_keep_their_order():
    images = build(bgr_to_rgb=False)(one_colour(10, 20, 30))['inputs']['images']
    torch.testing.assert_close(colours(images)[0, :, 0, 0], torch.tensor([10.0, 20, 30]))


def test_mean_and_std_are_the_configs():
    images = build(mean=(0, 0, 0), std=(10, 5, 2))(one_colour(10, 20, 30))['inputs']['images']
    torch.testing.assert_close(images[0, :, 0, 0], torch.tensor([3.0, 4, 5]))


def test_boxes_and_areas_of_the_batch_are_stacked():
    data = batch()
    prepared = build()(data)
    assert prepared['data_samples'] is data['data_samples']
    inputs = prepared['inputs']
    assert inputs['crop_boxes'].tolist() == [[1, 2, 10, 11 + n] for n in range(3)]
    assert inputs['box_areas'].tolist() == [100.5, 201, 301.5]


def test_a_stacked_batch_serves_as_well():
    data = batch()
    listed = build()(data)['inputs']['images']
    stacked = build()({**data, 'inputs': torch.stack(data['inputs'])})['inputs']['images']
    assert torch.equal(listed, stacked)


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a GPU')
def test_crops_move_to_the_gpu_while_box_areas_stay_on_the_cpu():
    inputs = build().cuda()(batch(), training=True)['inputs']
    assert inputs['box_areas'].device.type == 'cpu'
    for key in ('images', 'student_images', 'crop_boxes'):
        assert inputs[key].device.type == 'cuda'


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a GPU')
def test_a_batch_on_its_way_to_the_gpu_is_not_overwritten_by_the_next():
    there, here = (
        [preprocessor(batch(seed=seed))['inputs']['images'] for seed in range(20)]
        for preprocessor in (build().cuda(), build())
    )
    for batch_there, batch_here in zip(there, here, strict=True):
        torch.testing.assert_close(batch_there.cpu(), batch_here, atol=1e-5, rtol=0)


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a GPU')
def test_the_students_view_is_the_same_on_a_gpu():
    def view(device):
        torch.manual_seed(3)
        preprocessor = build(jitter_prob=1).to(device)
        return preprocessor(batch(N=8), training=True)['inputs']['student_images'].cpu()

    # the blur's convolutions round to TF32
    torch.testing.assert_close(view('cuda'), view('cpu'), atol=0.02, rtol=0)


def test_only_training_draws_a_student_view():
    inputs = build()(batch(), training=False)['inputs']
    assert set(inputs) == {'images', 'crop_boxes', 'box_areas'}
    torch.manual_seed(0)
    inputs = build(jitter_prob=1)(batch(), training=True)['inputs']
    assert inputs['student_images'].shape == inputs['images'].shape
    different = (inputs['student_images'] != inputs['images']).flatten(1).any(1)
    assert different.all()


def test_the_teachers_view_is_the_plain_crop():
    torch.manual_seed(0)
    preprocessor = build(jitter_prob=1, grey_prob=1, blur_prob=1)
    trained = preprocessor(batch(), training=True)['inputs']['images']
    assert torch.equal(trained, preprocessor(batch())['inputs']['images'])


@pytest.mark.parametrize('config', [NO_VIEW, {'jitter_prob': 0, 'grey_prob': 0, 'blur_prob': 0}])
def test_without_photometry_both_views_are_the_same(config):
    inputs = build(**config)(batch(), training=True)['inputs']
    assert torch.equal(inputs['student_images'], inputs['images'])


def test_views_are_drawn_for_each_crop_with_their_probability():
    torch.manual_seed(0)
    preprocessor = build(jitter=None, grey_prob=0.25, blur_prob=0)
    inputs = preprocessor(batch(N=400, S=4), training=True)['inputs']
    changed = (inputs['student_images'] - inputs['images']).abs().flatten(1).amax(1) > 1e-3
    assert 0.18 < changed.float().mean() < 0.32


def test_a_grey_view_has_equal_channels():
    inputs = build(jitter=None, grey_prob=1, blur_prob=0)(batch(), training=True)['inputs']
    red, green, blue = colours(inputs['student_images']).unbind(1)
    torch.testing.assert_close(red, green)
    torch.testing.assert_close(red, blue)
    # luma weights of Rec. 601 on the plain crop
    weights = torch.tensor([0.299, 0.587, 0.114]).view(3, 1, 1)
    torch.testing.assert_close(red, (colours(inputs['images']) * weights).sum(1))


def test_blur_smooths_and_keeps_flat_colours():
    config = {'jitter': None, 'grey_prob': 0, 'blur_prob': 1, 'blur_sigma': (2.0, 2.0)}
    inputs = build(**config)(batch(), training=True)['inputs']
    assert inputs['student_images'].var() < 0.1 * inputs['images'].var()
    flat = one_colour(10, 20, 30)
    inputs = build(**config)(flat, training=True)['inputs']
    torch.testing.assert_close(inputs['student_images'], inputs['images'], rtol=0, atol=1e-4)


def test_a_blur_of_small_radius_is_no_blur():
    config = {'jitter': None, 'grey_prob': 0, 'blur_prob': 1, 'blur_sigma': (0.1, 0.1)}
    inputs = build(**config)(batch(), training=True)['inputs']
    torch.testing.assert_close(inputs['student_images'], inputs['images'], rtol=0, atol=1e-4)


def test_jitter_stays_within_the_range_of_colours():
    torch.manual_seed(0)
    config = {'jitter': (0.9, 0.9, 0.9, 0.4), 'jitter_prob': 1, 'grey_prob': 0, 'blur_prob': 0}
    inputs = build(**config)(batch(N=16), training=True)['inputs']
    values = colours(inputs['student_images'])
    assert values.min() >= -0.01
    assert values.max() <= 255.01
    assert ((inputs['student_images'] - inputs['images']).abs().flatten(1).amax(1) > 0.01).all()


def test_the_student_view_follows_torchs_seed():
    def view(seed):
        torch.manual_seed(seed)
        return build(jitter_prob=1)(batch(), training=True)['inputs']['student_images']

    assert torch.equal(view(1), view(1))
    assert not torch.equal(view(1), view(2))


def test_nothing_of_it_goes_into_checkpoints():
    assert not build().state_dict()


def test_crops_in_a_list_of_any_layout_are_normalised_as_a_batch():
    preprocessor = build()
    crops = torch.randint(0, 256, (2, 5, 6, 3), dtype=torch.uint8).permute(0, 3, 1, 2)
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (IMAGENET_MEAN, IMAGENET_STD))
    expected = (crops.float() - mean) / std
    for images in (crops, list(crops), crops.contiguous()):
        normalised = preprocessor.normalise(images)
        torch.testing.assert_close(normalised, expected, atol=1e-6, rtol=0)
        assert normalised.is_contiguous()


def test_start_masks_of_the_samples_are_stacked_for_training_only():
    data = batch()
    assert 'start_masks' not in build()(data, training=True)['inputs']
    masks = np.random.default_rng(0).integers(0, 2, (3, 16, 16), dtype=np.uint8)
    for sample, mask in zip(data['data_samples'], masks, strict=True):
        sample.gt_instances.masks = BitmapMasks(mask[None], 16, 16)
    found = build()(data, training=True)['inputs']['start_masks']
    assert found.dtype == torch.float32
    assert np.array_equal(found.numpy(), masks)
    assert 'start_masks' not in build()(data)['inputs']
