"""What a labeler says about crops, on a network of a few thousand weights."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from tiny_labeler import CROP_SIZE, build, frozen_config, part_networks, random_inputs

from mal_mm.geometry import draw_box_masks
from mal_mm.instant import walk_logits


@pytest.fixture
def labeler():
    return part_networks(build())


def test_probabilities_follow_the_released_order_of_steps(labeler):
    inputs = random_inputs()
    images, boxes, areas = (inputs[name] for name in ('images', 'crop_boxes', 'box_areas'))
    probs = labeler.predict_probs(images, boxes, areas, 'both', flip=True)

    logits = 0
    for network in (labeler.student, labeler.teacher):
        mirrored = network(images.flip(-1), areas).flip(-1)
        logits = logits + (network(images, areas) + mirrored) / 4
    large = F.interpolate(logits[:, None], scale_factor=4, mode='bilinear', align_corners=False)
    expected = large[:, 0].sigmoid() * draw_box_masks(boxes, CROP_SIZE, CROP_SIZE)
    torch.testing.assert_close(probs, expected)


def test_student_teacher_and_both_differ(labeler):
    inputs = random_inputs()
    arguments = [inputs[name] for name in ('images', 'crop_boxes', 'box_areas')]
    student, teacher, both = (
        labeler.predict_probs(*arguments, network) for network in ('student', 'teacher', 'both')
    )
    assert not torch.allclose(student, teacher)
    low, high = torch.minimum(student, teacher), torch.maximum(student, teacher)
    assert ((both >= low - 1e-6) & (both <= high + 1e-6)).all()


def test_probabilities_vanish_outside_the_box_and_are_float32(labeler):
    inputs = random_inputs()
    arguments = [inputs[name] for name in ('images', 'crop_boxes', 'box_areas')]
    with torch.autocast('cpu', torch.bfloat16):
        probs = labeler.predict_probs(*arguments)
    assert probs.shape == (3, CROP_SIZE, CROP_SIZE)
    assert probs.dtype == torch.float32
    inside = draw_box_masks(inputs['crop_boxes'], CROP_SIZE, CROP_SIZE) > 0
    assert not probs[~inside].any()
    assert ((probs[inside] > 0) & (probs[inside] < 1)).all()


@pytest.mark.parametrize('network', ['teacher', 'both'])
def test_with_flip_a_mirrored_crop_gives_mirrored_probabilities(labeler, network):
    inputs = random_inputs()
    images, boxes, areas = (inputs[name] for name in ('images', 'crop_boxes', 'box_areas'))
    mirrored_boxes = boxes.clone()
    mirrored_boxes[:, 0], mirrored_boxes[:, 2] = CROP_SIZE - boxes[:, 2], CROP_SIZE - boxes[:, 0]
    plain = labeler.predict_probs(images, boxes, areas, network, flip=True)
    mirrored = labeler.predict_probs(images.flip(-1), mirrored_boxes, areas, network, flip=True)
    torch.testing.assert_close(mirrored.flip(-1), plain)
    without = labeler.predict_probs(images.flip(-1), mirrored_boxes, areas, network)
    assert not torch.allclose(without.flip(-1), plain, atol=1e-4)


def test_unknown_network_is_refused(labeler):
    inputs = random_inputs()
    with pytest.raises(ValueError, match=r"`network` must be one of .*, got 'mixed'"):
        labeler.predict_probs(inputs['images'], inputs['crop_boxes'], inputs['box_areas'], 'mixed')


def test_predict_attaches_what_test_cfg_asks_for():
    labeler = part_networks(build(test_cfg={'network': 'student', 'flip': True}))
    inputs = random_inputs()
    samples = labeler(inputs, [DetDataSample() for _ in range(3)], mode='predict')
    expected = labeler.predict_probs(
        inputs['images'], inputs['crop_boxes'], inputs['box_areas'], 'student', flip=True
    )
    for sample, probs in zip(samples, expected, strict=True):
        assert torch.equal(sample.pred_instances.mask_probs, probs[None])


def test_instant_refinement_walks_between_like_tokens(labeler):
    inputs = random_inputs()
    images, boxes, areas = inputs['images'], inputs['crop_boxes'], inputs['box_areas']
    for network, net in (('teacher', labeler.teacher), ('student', labeler.student)):
        plain = labeler.predict_maps(images, boxes, areas, network, flip=True)
        walked = labeler.predict_maps(images, boxes, areas, network, True, 'instant')
        expected = walk_logits(plain, net.encoder(images), boxes, CROP_SIZE)
        torch.testing.assert_close(walked, expected)
        assert not torch.equal(walked, plain)
    # of both networks the teacher's tokens
    plain = labeler.predict_maps(images, boxes, areas, 'both')
    walked = labeler.predict_maps(images, boxes, areas, 'both', refine='instant')
    expected = walk_logits(plain, labeler.teacher.encoder(images), boxes, CROP_SIZE)
    torch.testing.assert_close(walked, expected)


@pytest.mark.parametrize(
    ('refine', 'meant'), [(False, 'none'), (True, 'mean-field'), ('instant', 'instant')]
)
def test_predict_refines_as_configs_old_and_new_say(refine, meant):
    labeler = part_networks(build(test_cfg={'refine': refine}))
    inputs = random_inputs()
    samples = labeler(inputs, [DetDataSample() for _ in range(3)], mode='predict')
    expected = labeler.predict_probs(
        inputs['images'], inputs['crop_boxes'], inputs['box_areas'], refine=meant
    )
    for sample, probs in zip(samples, expected, strict=True):
        assert torch.equal(sample.pred_instances.mask_probs, probs[None])
    assert ((expected >= 0) & (expected <= 1)).all()


def test_unknown_refinement_is_refused(labeler):
    inputs = random_inputs()
    with pytest.raises(ValueError, match=r"`refine` must be one of .*, got 'crf'"):
        labeler.predict_probs(
            inputs['images'], inputs['crop_boxes'], inputs['box_areas'], refine='crf'
        )


def test_a_shared_encoder_sees_a_crop_once_for_both_networks():
    labeler = part_networks(MODELS.build(frozen_config())).eval()
    calls = []
    labeler.student.encoder.register_forward_hook(lambda *_: calls.append(1))
    inputs = random_inputs()
    both = labeler.predict_probs(
        inputs['images'], inputs['crop_boxes'], inputs['box_areas'], network='both'
    )
    assert len(calls) == 1
    student, teacher = (
        net(inputs['images'], inputs['box_areas']) for net in (labeler.student, labeler.teacher)
    )
    logits = ((student + teacher) / 2)[:, None]
    probs = F.interpolate(logits, (CROP_SIZE, CROP_SIZE), mode='bilinear')[:, 0].sigmoid()
    box_masks = draw_box_masks(inputs['crop_boxes'], CROP_SIZE, CROP_SIZE)
    torch.testing.assert_close(both, probs * box_masks)


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a GPU')
@pytest.mark.parametrize('refine', ['none', 'mean-field', 'instant'])
def test_a_gpu_predicts_what_a_cpu_does(labeler, refine):
    inputs = random_inputs()
    images, boxes, areas = (inputs[name] for name in ('images', 'crop_boxes', 'box_areas'))
    here = labeler.predict_probs(images, boxes, areas, 'both', True, refine)
    there = labeler.cuda().predict_probs(images.cuda(), boxes.cuda(), areas, 'both', True, refine)
    # convolutions of a GPU round to TF32; a label of the mean field at its threshold may turn
    assert ((there.cpu() - here).abs() > 5e-3).double().mean() < 0.01
