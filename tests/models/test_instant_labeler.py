"""The labeler that is not trained, on an encoder of a few thousand weights."""

from __future__ import annotations

import pytest
import torch
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from tiny_instant import CROP_SIZE, instant_config, instant_model, write_encoder
from tiny_labeler import random_inputs

from mal_mm.checkpoints.loading import CheckpointError
from mal_mm.geometry import draw_box_masks
from mal_mm.instant import vote_and_walk


@pytest.fixture(scope='module')
def labeler():
    return instant_model()


@pytest.fixture(scope='module')
def inputs():
    inputs = random_inputs(S=CROP_SIZE)
    inputs['crop_boxes'] = torch.tensor([[8.0, 8, 56, 56], [8, 20, 56, 44], [10.5, 8, 30.25, 56]])
    inputs['images'] += 3 * draw_box_masks(inputs['crop_boxes'], CROP_SIZE, CROP_SIZE)[:, None]
    return inputs


# -- what it says ---------------------------------------------------------------------------------


def test_maps_are_the_vote_of_its_tokens(labeler, inputs):
    images, boxes = inputs['images'], inputs['crop_boxes']
    maps = labeler.predict_maps(images, boxes)
    tokens = labeler.encoder(images)
    assert tokens.shape == (3, 16, 16, 16)
    expected = vote_and_walk(tokens, boxes, CROP_SIZE)
    torch.testing.assert_close(maps.sigmoid(), expected, atol=1e-5, rtol=0)
    assert maps.dtype == torch.float32 and maps.isfinite().all()
    assert 0.1 < (maps > 0).float().mean() < 0.6


def test_rounds_are_its_own(inputs):
    maps = [
        instant_model(rounds=rounds).predict_maps(inputs['images'], inputs['crop_boxes'])
        for rounds in (1, 2)
    ]
    tokens = instant_model().encoder(inputs['images'])
    expected = vote_and_walk(tokens, inputs['crop_boxes'], CROP_SIZE, rounds=1)
    torch.testing.assert_close(maps[0].sigmoid(), expected, atol=1e-5, rtol=0)
    assert not torch.allclose(*maps)


def test_flip_averages_the_tokens_of_both_views(labeler, inputs):
    images, boxes = inputs['images'], inputs['crop_boxes']
    tokens = labeler.encoder(images) + labeler.encoder(images.flip(-1)).flip(-1)
    expected = vote_and_walk(tokens, boxes, CROP_SIZE)
    found = labeler.predict_maps(images, boxes, flip=True)
    torch.testing.assert_close(found.sigmoid(), expected, atol=1e-5, rtol=0)
    # then a mirrored crop gives the mirrored map
    x0, y0, x1, y1 = boxes.unbind(1)
    mirrored = torch.stack([CROP_SIZE - x1, y0, CROP_SIZE - x0, y1], 1)
    again = labeler.predict_maps(images.flip(-1), mirrored, flip=True).flip(-1)
    torch.testing.assert_close(again.sigmoid(), found.sigmoid(), atol=1e-4, rtol=0)


def test_what_only_a_trained_labeler_has_changes_nothing(labeler, inputs):
    images, boxes = inputs['images'], inputs['crop_boxes']
    found = labeler.predict_maps(images, boxes)
    for options in ({'network': 'both'}, {'refine': 'none'}, {'box_areas': inputs['box_areas']}):
        assert torch.equal(labeler.predict_maps(images, boxes, **options), found)
    with pytest.raises(ValueError, match=r"`refine` must be one of .* got 'mean-field'"):
        labeler.predict_maps(images, boxes, refine='mean-field')


def test_crops_do_not_see_each_other(labeler, inputs):
    images, boxes = inputs['images'], inputs['crop_boxes']
    found = labeler.predict_maps(images, boxes).sigmoid()
    again = labeler.predict_maps(images[[2, 0, 1]], boxes[[2, 0, 1]]).sigmoid()
    torch.testing.assert_close(again, found[[2, 0, 1]], atol=1e-5, rtol=0)


def test_predict_attaches_probabilities_inside_the_box(labeler, inputs):
    samples = labeler(inputs, [DetDataSample() for _ in range(3)], mode='predict')
    for sample, box in zip(samples, inputs['crop_boxes'], strict=True):
        probs = sample.pred_instances.mask_probs
        assert probs.shape == (1, CROP_SIZE, CROP_SIZE)
        assert ((probs >= 0) & (probs <= 1)).all() and probs.max() > 0.5
        assert (probs[0][draw_box_masks(box[None], CROP_SIZE, CROP_SIZE)[0] == 0] == 0).all()


def test_tensor_mode_gives_the_maps_and_there_is_no_training(labeler, inputs):
    maps = labeler.predict_maps(inputs['images'], inputs['crop_boxes'])
    assert torch.equal(labeler(inputs, mode='tensor'), maps)
    with pytest.raises(
        ValueError, match=r"got 'loss'; .* InstantLabeler is not trained: .*small_"
    ):
        labeler(inputs, mode='loss')


# -- precision ------------------------------------------------------------------------------------


def test_half_precision_changes_the_tokens_a_little_and_they_are_floats_again(inputs):
    exact, half = (instant_model(precision=p).encode(inputs['images']) for p in ('fp32', 'bf16'))
    assert exact.dtype == half.dtype == torch.float32
    assert torch.equal(exact, instant_model().encoder(inputs['images']))
    assert not torch.equal(exact, half)
    torch.testing.assert_close(half, exact, atol=0.1, rtol=0.1)


def test_an_unknown_precision_is_refused():
    with pytest.raises(ValueError, match=r"`precision` must be one of .*, got 'fp8'"):
        instant_model(precision='fp8')


# -- weights --------------------------------------------------------------------------------------


def test_the_encoder_is_frozen_and_all_there_is(labeler):
    assert not any(parameter.requires_grad for parameter in labeler.parameters())
    assert all(name.startswith('encoder.') for name in labeler.state_dict())
    training = instant_model().train()
    assert not any(module.training for module in training.encoder.modules())


def test_init_weights_loads_the_encoder(tmp_path):
    expected = torch.load(write_encoder(tmp_path / 'vit.pth'))['state_dict']
    torch.manual_seed(1)
    labeler = MODELS.build(instant_config(tmp_path / 'vit.pth'))
    labeler.init_weights()
    for name, tensor in labeler.encoder.state_dict().items():
        assert torch.equal(tensor, expected[name])


def test_random_weights_are_refused(tmp_path):
    with pytest.raises(CheckpointError, match=r'`encoder\.init_cfg` names none'):
        instant_model().init_weights()
    with pytest.raises(CheckpointError, match=r'gone\.pth'):
        MODELS.build(instant_config(tmp_path / 'gone.pth')).init_weights()
