import numpy as np
import pytest
import torch
from pycocotools import mask as coco_mask
from sharp_labeler import blotches, sharp_model

from mal_mm.geometry import box_to_crop, crop_window, expand_fixed, paste_probs
from mal_mm.labeling import LabelingEngine, mask_quality

BOXES = np.array(
    [[5, 5, 60, 50], [20, 30, 110, 85], [0, 0, 30, 30], [70, 10, 110, 60], [50, 50, 56.5, 57]]
)


@pytest.fixture(scope='module')
def model():
    return sharp_model()


class Recording(LabelingEngine):
    """Keeps the size of every batch."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.batches = []

    def label_crops(self, crops):
        self.batches.append(len(crops))
        return super().label_crops(crops)


def engine(model, **options):
    return Recording(model, **{'crop_size': 32, 'mask_threshold': 0.5, **options})


def label(an_engine, image, boxes=BOXES):
    ((_, masks),) = an_engine.stream([('only', an_engine.make_crops(image, boxes))])
    return masks


@pytest.mark.parametrize('refine', [False, True])
@pytest.mark.parametrize('network', ['teacher', 'student', 'both'])
def test_a_mask_is_the_pasted_probability_above_the_threshold(model, network, refine):
    image, box = blotches(), BOXES[0]
    options = {'network': network, 'flip': True, 'refine': refine}
    (mask,) = label(engine(model, **options, mask_threshold=0.05), image, [box])

    window = expand_fixed(box)[0]
    crop = torch.from_numpy(crop_window(image, window, 32)).permute(2, 0, 1)[None]
    crop_box = torch.from_numpy(box_to_crop(box, window, (90, 120), 32))[None]
    images = model.data_preprocessor.normalise(crop)
    probs = model.predict_probs(images, crop_box, torch.tensor([55.0 * 45]), **options)
    region, top, left = paste_probs(probs[0], window, (90, 120))
    expected = np.zeros((90, 120), dtype=bool)
    expected[top : top + len(region), left : left + region.shape[1]] = region.numpy() > 0.05

    assert 0 < expected.sum() < 55 * 45
    np.testing.assert_array_equal(mask.mask, expected)
    assert mask.area == expected.sum() == coco_mask.area(mask.rle)
    assert mask.quality == pytest.approx(mask_quality(probs, crop_box).item())
    assert mask.rle['size'] == [90, 120]
    assert isinstance(mask.rle['counts'], str)
    assert mask.box.tolist() == box.tolist()


def test_masks_stay_inside_their_boxes_up_to_one_crop_pixel(model):
    for mask, box in zip(label(engine(model), blotches()), BOXES, strict=True):
        rows, columns = np.nonzero(mask.mask)
        if not len(rows):
            continue
        window = expand_fixed(box)[0]
        reach = np.ceil((window[2:] - window[:2]) / 32)
        assert columns.min() >= int(box[0]) - reach[0]
        assert rows.min() >= int(box[1]) - reach[1]
        assert columns.max() <= int(box[2]) + reach[0]
        assert rows.max() <= int(box[3]) + reach[1]


def test_batches_are_filled_across_images_and_change_no_mask(model):
    images = {name: blotches(seed=i) for i, name in enumerate('abcd')}
    boxes = {'a': BOXES[:2], 'b': BOXES[:0], 'c': BOXES, 'd': BOXES[3:]}
    alone = engine(model)
    expected = {name: label(alone, images[name], boxes[name]) for name in images}
    assert alone.batches == [2, 5, 2]

    batched = engine(model, batch_size=4)
    crops = [(name, batched.make_crops(images[name], boxes[name])) for name in images]
    streamed = list(batched.stream(crops))
    assert batched.batches == [4, 4, 1]
    assert [name for name, _ in streamed] == ['a', 'b', 'c', 'd']
    for name, masks in streamed:
        assert [m.box.tolist() for m in masks] == boxes[name].tolist()
        for mask, other in zip(masks, expected[name], strict=True):
            # sums in another order may tip a pixel that lies on the threshold
            assert (mask.mask != other.mask).sum() <= 2
            assert mask.quality == pytest.approx(other.quality, abs=1e-4)


def test_an_image_comes_out_as_soon_as_its_masks_are_there(model):
    small = engine(model, batch_size=2)
    read = []

    def images():
        for name, boxes in (('a', BOXES[:2]), ('b', BOXES[:1]), ('c', BOXES[:1])):
            read.append(name)
            yield name, small.make_crops(blotches(), boxes)

    stream = small.stream(images())
    assert next(stream)[0] == 'a'
    assert read == ['a']
    assert next(stream)[0] == 'b'
    assert read == ['a', 'b', 'c']
    assert [name for name, _ in stream] == ['c']


def test_the_networks_and_flips_draw_different_masks(model):
    masks = {
        (network, flip): label(engine(model, network=network, flip=flip), blotches())[0].rle[
            'counts'
        ]
        for network in ('teacher', 'student', 'both')
        for flip in (False, True)
    }
    assert len(set(masks.values())) == 6


def test_a_higher_threshold_leaves_a_part_of_the_mask(model):
    low, high = (label(engine(model, mask_threshold=t), blotches())[0].mask for t in (0.1, 0.9))
    assert high.sum() < low.sum()
    assert (low | ~high).all()


def test_a_box_of_any_size_is_labelled_by_what_lies_in_the_image(model):
    image = blotches()
    huge, tiny, slip = label(
        engine(model), image, [[-1e9, -1e9, 1e18, 1e18], [3, 3, 3.001, 3.001], [-9, 4, 0.1, 9]]
    )
    assert huge.rle['size'] == tiny.rle['size'] == [90, 120]
    assert tiny.area <= 9
    assert slip.area <= 20


def test_the_padding_reaches_the_crops(model):
    image, box = blotches(), BOXES[2]
    wrapped, mean = (
        engine(model, padding=padding, margin=0.5).make_crops(image, [box])[0].pixels
        for padding in ('wrap', 'mean')
    )
    assert mean[0, 0].tolist() == [124, 116, 104]
    assert (wrapped != mean).any()


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'mask_threshold': 1}, r'`mask_threshold` must be in \[0, 1\), got 1'),
        ({'mask_threshold': float('nan')}, 'got nan'),
        ({'network': 'pupil'}, "`network` must be one of .*, got 'pupil'"),
        ({'padding': 'zero'}, "`padding` must be one of .*, got 'zero'"),
        ({'batch_size': 0}, '`batch_size` must be at least 1, got 0'),
    ],
)
def test_options_outside_their_range_are_refused(model, options, message):
    with pytest.raises(ValueError, match=message):
        engine(model, **options)
