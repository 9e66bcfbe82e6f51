"""The labeler as a whole, on a network of a few thousand weights."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from mmdet.registry import MODELS, OPTIM_WRAPPERS
from mmdet.structures import DetDataSample
from mmengine import MessageHub
from mmengine.structures import InstanceData
from tiny_labeler import (
    CROP_SIZE,
    TINY_ARCHS,
    build,
    frozen_config,
    model_config,
    part_networks,
    random_inputs,
)

from mal_mm.geometry import draw_box_masks
from mal_mm.models.losses import MeanField, dice_loss, mil_loss


@pytest.fixture
def labeler():
    return part_networks(build())


@pytest.fixture(autouse=True)
def training_progress():
    """set_progress(epoch, iter): what the Runner would tell; without a call there is no Runner."""
    name = 'test_mask_auto_labeler'
    hub = MessageHub.get_instance(name)

    def set_progress(epoch: int, iteration: int) -> None:
        hub.update_info('epoch', epoch)
        hub.update_info('iter', iteration)

    yield set_progress
    MessageHub._instance_dict.pop(name)


# -- start ----------------------------------------------------------------------------------------


def test_teacher_starts_as_a_copy_of_the_student():
    labeler = build()
    labeler.init_weights()
    student, teacher = labeler.student.state_dict(), labeler.teacher.state_dict()
    assert student.keys() == teacher.keys()
    for key, tensor in student.items():
        assert torch.equal(tensor, teacher[key])
        assert tensor.data_ptr() != teacher[key].data_ptr()


def test_weights_of_a_whole_labeler_keep_their_teacher(labeler, tmp_path):
    torch.save({'state_dict': labeler.state_dict()}, tmp_path / 'labeler.pth')
    checkpoint = str(tmp_path / 'labeler.pth')
    other = build(init_cfg={'type': 'Pretrained', 'checkpoint': checkpoint})
    other.init_weights()
    for key, tensor in labeler.state_dict().items():
        assert torch.equal(other.state_dict()[key], tensor), key


def test_student_is_initialised_from_pretrained_encoder_weights(labeler, tmp_path):
    weights = {f'backbone.{k}': v for k, v in labeler.teacher.encoder.state_dict().items()}
    torch.save({'state_dict': weights}, tmp_path / 'mae.pth')
    config = model_config()
    config['network']['encoder']['init_cfg'] = {
        'type': 'Pretrained',
        'checkpoint': str(tmp_path / 'mae.pth'),
        'prefix': 'backbone.',
    }
    other = MODELS.build(config)
    other.init_weights()
    for network in (other.student, other.teacher):
        assert torch.equal(network.encoder.pos_embed, labeler.teacher.encoder.pos_embed)


def test_frozen_encoder_is_one_for_student_and_teacher():
    labeler = MODELS.build(frozen_config())
    labeler.init_weights()
    assert labeler.teacher.encoder is labeler.student.encoder
    assert labeler.teacher.decoder is not labeler.student.decoder
    labeler.train()
    assert not labeler.student.encoder.training
    trained = [name for name, p in labeler.named_parameters() if p.requires_grad]
    assert trained and all(name.startswith('student.decoder.') for name in trained)


def test_cached_encoder_is_shared_as_well(tmp_path):
    config = model_config()
    encoder = {**config['network']['encoder'], 'frozen': True}
    config['network']['encoder'] = {
        'type': 'CachedEncoder',
        'encoder': encoder,
        'folder': tmp_path,
    }
    labeler = MODELS.build(config).train()
    assert labeler.teacher.encoder is labeler.student.encoder
    sizes = []
    labeler.student.encoder.encoder.register_forward_hook(
        lambda _, args, out: sizes.append(len(args[0]))
    )
    inputs = random_inputs()
    inputs['student_images'] = inputs['images']  # as without a photometric view
    for _ in range(3):
        labeler.loss(inputs)['loss_mil'].backward()
    assert sizes == [3]


def test_encoder_that_is_not_frozen_is_not_shared(labeler):
    assert labeler.teacher.encoder is not labeler.student.encoder


# -- loss -----------------------------------------------------------------------------------------


def test_losses_are_those_of_the_paper(labeler):
    inputs = random_inputs()
    losses = labeler.loss(inputs)

    student = labeler.student(inputs['student_images'], inputs['box_areas']).sigmoid()
    teacher = labeler.teacher(inputs['images'], inputs['box_areas']).sigmoid()
    boxes = draw_box_masks(inputs['crop_boxes'], CROP_SIZE, CROP_SIZE // 4)
    colours = F.avg_pool2d(inputs['images'], 4)
    labels = MeanField(num_iters=5, zeta=0.5)(colours, (student + teacher) / 2, boxes)
    torch.testing.assert_close(losses['loss_mil'], 4 * mil_loss(student, boxes).mean())
    torch.testing.assert_close(losses['loss_crf'], 0.5 * dice_loss(student, labels).mean())
    torch.testing.assert_close(losses['box_fill'], (student * boxes).sum() / boxes.sum())


def test_backward_moves_the_student_and_never_the_teacher(labeler):
    labeler.train()
    loss, _ = labeler.parse_losses(labeler(random_inputs(), mode='loss'))
    loss.backward()
    for name, parameter in labeler.student.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), name
    assert all(p.grad is None and not p.requires_grad for p in labeler.teacher.parameters())


def test_logged_loss_is_the_sum_and_box_fill_is_only_logged(labeler):
    losses = labeler.loss(random_inputs())
    loss, log_vars = labeler.parse_losses(losses)
    torch.testing.assert_close(loss, losses['loss_mil'] + losses['loss_crf'])
    assert set(log_vars) == {'loss', 'loss_mil', 'loss_crf', 'box_fill'}
    assert 0 <= log_vars['box_fill'] <= 1
    assert not losses['box_fill'].requires_grad


def test_box_fill_is_one_when_the_student_marks_the_whole_box(labeler):
    inputs = random_inputs()
    head = labeler.student.decoder
    torch.nn.init.constant_(head.pixel_head.convs[-1].bias, 50)
    torch.nn.init.zeros_(head.instance_head.fcs[-1].weight)
    torch.nn.init.ones_(head.instance_head.fcs[-1].bias)
    assert labeler.loss(inputs)['box_fill'].item() == pytest.approx(1)
    torch.nn.init.constant_(head.instance_head.fcs[-1].bias, -1)
    assert labeler.loss(inputs)['box_fill'].item() == pytest.approx(0, abs=1e-6)


def test_bfloat16_autocast_gives_finite_float32_losses_close_to_float32(labeler):
    inputs = random_inputs()
    expected = labeler.loss(inputs)
    with torch.autocast('cpu', torch.bfloat16):
        losses = labeler.loss(inputs)
    sum(losses[name] for name in ('loss_mil', 'loss_crf')).backward()
    for name in expected:
        assert losses[name].dtype == torch.float32
        torch.testing.assert_close(losses[name], expected[name], atol=0.1, rtol=0.05)
    assert all(p.grad.isfinite().all() for p in labeler.student.parameters())


def test_box_that_is_smaller_than_a_mask_cell_gives_finite_losses(labeler):
    inputs = random_inputs(N=2)
    inputs['crop_boxes'] = torch.tensor([[3.0, 3.0, 4.0, 4.0], [0.0, 0.0, 0.0, 0.0]])
    losses = labeler.loss(inputs)
    assert all(value.isfinite() for value in losses.values())


# -- start masks ----------------------------------------------------------------------------------


def with_start_masks(inputs):
    masks = torch.zeros(len(inputs['images']), CROP_SIZE, CROP_SIZE)
    masks[:, 6:22, 5:23] = 1
    return {**inputs, 'start_masks': masks}


def test_start_masks_add_a_loss_at_the_masks_own_size():
    labeler, inputs = build(start_loss={'loss_weight': 3.0}), with_start_masks(random_inputs())
    without = labeler.loss(random_inputs())
    assert 'loss_start' not in without
    losses = labeler.loss(inputs)
    student = labeler.student(inputs['student_images'], inputs['box_areas']).sigmoid()
    masks = F.avg_pool2d(inputs['start_masks'], 4)
    expected = dice_loss(student, masks).mean() + F.binary_cross_entropy(student, masks)
    torch.testing.assert_close(losses['loss_start'], 3 * expected)
    torch.testing.assert_close(losses['loss_mil'], without['loss_mil'])
    torch.testing.assert_close(losses['loss_crf'], without['loss_crf'])


def test_start_masks_count_until_their_share_of_the_training(training_progress):
    labeler = build(start_loss={'until': 0.5})
    inputs = with_start_masks(random_inputs())
    training_progress(3, 499)
    MessageHub.get_current_instance().update_info('max_iters', 1000)
    assert labeler.loss(inputs)['loss_start'] > 0
    training_progress(3, 500)
    assert labeler.loss(inputs)['loss_start'] == 0


def test_without_start_loss_masks_are_not_looked_at():
    assert 'loss_start' not in build().loss(with_start_masks(random_inputs()))


# -- ramps ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ('epoch', 'iteration', 'mil', 'crf'),
    [
        (0, 0, 0, 0),
        (0, 250, 0.25, 0.0625),
        (0, 1000, 1, 0.25),
        (0, 3000, 1, 0.75),
        (0, 9000, 1, 1),
        (1, 500, 1, 1),
    ],
)
def test_losses_ramp_up_in_the_first_epoch_only(training_progress, epoch, iteration, mil, crf):
    inputs = random_inputs()
    full = build().loss(inputs)
    training_progress(epoch, iteration)
    ramped = build(mil_ramp_iters=1000, crf_ramp_iters=4000).loss(inputs)
    torch.testing.assert_close(ramped['loss_mil'], mil * full['loss_mil'])
    torch.testing.assert_close(ramped['loss_crf'], crf * full['loss_crf'])


def test_without_ramp_the_first_iteration_has_the_whole_loss(training_progress):
    training_progress(0, 0)
    assert build().loss(random_inputs())['loss_mil'] > 0


def test_without_a_runner_the_loss_is_whole():
    assert build(mil_ramp_iters=1000).loss(random_inputs())['loss_mil'] > 0


# -- as a model ----------------------------------------------------------------------------------


def test_batch_of_samples_goes_through_preprocessor_and_optimiser():
    labeler = build()
    labeler.init_weights()
    wrapper = {'optimizer': torch.optim.SGD(labeler.student.parameters(), lr=0.1)}
    optim_wrapper = OPTIM_WRAPPERS.build({'type': 'OptimWrapper', **wrapper})
    samples = []
    for box in ([4.0, 4.0, 28.0, 28.0], [0.0, 8.0, 20.0, 32.0]):
        sample = DetDataSample(metainfo={'box_area': 2000.0})
        sample.gt_instances = InstanceData(
            bboxes=torch.tensor([box]), labels=torch.zeros(1, dtype=torch.long)
        )
        samples.append(sample)
    crops = [torch.randint(0, 256, (3, CROP_SIZE, CROP_SIZE), dtype=torch.uint8) for _ in samples]
    before = labeler.student.decoder.instance_head.fcs[0].weight.clone()
    log_vars = labeler.train_step({'inputs': crops, 'data_samples': samples}, optim_wrapper)
    assert log_vars['loss'].isfinite()
    assert not torch.equal(labeler.student.decoder.instance_head.fcs[0].weight, before)
    found = labeler.test_step({'inputs': crops, 'data_samples': samples})
    assert found[1].pred_instances.mask_probs.shape == (1, CROP_SIZE, CROP_SIZE)


def test_tensor_mode_gives_the_teachers_logits(labeler):
    inputs = random_inputs()
    expected = labeler.teacher(inputs['images'], inputs['box_areas'])
    assert torch.equal(labeler(inputs), expected)


def test_unknown_mode_is_refused(labeler):
    with pytest.raises(ValueError, match="`mode` must be 'loss', 'predict' or 'tensor', got 'x'"):
        labeler(random_inputs(), mode='x')


# -- ablations ------------------------------------------------------------------------------------


def test_without_teacher_student_and_teacher_are_one():
    labeler = build(use_teacher=False).train()
    labeler.init_weights()
    assert labeler.teacher is labeler.student
    assert labeler.student.training and all(p.requires_grad for p in labeler.student.parameters())
    inputs = random_inputs()
    losses = labeler.loss(inputs)
    probs = labeler.student(inputs['student_images'], inputs['box_areas']).sigmoid()
    colours = F.interpolate(inputs['images'], probs.shape[1:], mode='area')
    box_masks = draw_box_masks(inputs['crop_boxes'], CROP_SIZE, probs.shape[-1])
    target = labeler.crf_loss.mean_field(colours, probs, box_masks)
    expected = labeler.crf_loss.loss_weight * dice_loss(probs, target).mean()
    torch.testing.assert_close(losses['loss_crf'], expected)


def test_the_teacher_drops_no_paths_while_the_student_trains():
    config = model_config()
    config['network']['encoder']['drop_path_rate'] = 0.9
    labeler = MODELS.build(config).train()
    assert labeler.student.encoder.training and not labeler.teacher.training
    assert not any(module.training for module in labeler.teacher.modules())
    inputs = random_inputs()
    first, second = (labeler.teacher(inputs['images'], inputs['box_areas']) for _ in range(2))
    assert torch.equal(first, second)


def test_a_background_crop_is_pushed_down_and_has_no_box():
    labeler = build()
    inputs = random_inputs(N=2)
    inputs['is_background'] = torch.tensor([False, True])
    seen = {}
    labeler.mil_loss.register_forward_hook(lambda _, args, out: seen.update(masks=args[1]))
    labeler.loss(inputs)['loss_mil'].backward()
    assert seen['masks'][0].any() and not seen['masks'][1].any()


def class_inputs():
    is_background = torch.tensor([False, False, True])
    return {**random_inputs(), 'labels': torch.tensor([0, 1, 2]), 'is_background': is_background}


@pytest.mark.parametrize('source', ['instance_head', 'encoder', 'class_token'])
def test_a_classification_loss_reads_what_it_names(source):
    labeler, inputs = build(cls_loss={'source': source, 'num_classes': 3}), class_inputs()
    losses = labeler.loss(inputs)
    student, images = labeler.student, inputs['student_images']
    feature = student.encoder(images)
    if source == 'encoder':
        vectors = feature.mean((2, 3))
    elif source == 'instance_head':
        first = student.decoder.instance_head.fcs[0]
        vectors = feature.mean((2, 3)) @ first.weight.T + first.bias
    else:
        encoder = student.encoder  # the blocks, with nothing but the class token kept
        tokens = encoder.patch_embed(images)[0]
        tokens = torch.cat([encoder.cls_token.expand(3, -1, -1), tokens], 1) + encoder.pos_embed
        vectors = encoder.ln1(encoder.layers[0](tokens))[:, 0]
    logits = labeler.cls_loss.fcs(vectors[:2])  # the third crop is background
    torch.testing.assert_close(
        losses['loss_cls'], F.cross_entropy(logits, torch.tensor([0, 1])), atol=1e-5, rtol=1e-4
    )
    losses['loss_cls'].backward()
    reached = {name.split('.')[0] for name, p in student.named_parameters() if p.grad is not None}
    assert reached == ({'encoder', 'decoder'} if source == 'instance_head' else {'encoder'})
    assert 'loss_cls' not in build().loss(inputs)


def test_networks_without_the_vectors_of_a_classification_loss_are_refused():
    swin = model_config(cls_loss={'source': 'class_token', 'num_classes': 3})
    swin['network']['encoder'] = {'type': 'SwinEncoder', 'arch': dict(TINY_ARCHS['SwinEncoder'])}
    with pytest.raises(ValueError, match=r'needs a plain ViT \(ViTEncoder\).*got SwinEncoder'):
        MODELS.build(swin)
    conv = model_config(cls_loss={'source': 'instance_head', 'num_classes': 3})
    conv['network']['decoder'] = {'type': 'FullyConvDecoder', 'channels': 4}
    with pytest.raises(ValueError, match='needs an AttentionDecoder, got FullyConvDecoder'):
        MODELS.build(conv)


# -- colours and box masks of the CRF -------------------------------------------------------------


def test_released_colours_are_the_students_and_shrink_to_the_mean_of_the_inner_four():
    labeler = build(crf_view='student', shrink='bilinear')
    inputs = random_inputs()
    inputs['crop_boxes'] = torch.tensor([[4.0, 6, 27, 21], [3, 1, 30, 31], [10, 9, 12, 13]])
    pixels = torch.zeros(3, CROP_SIZE, CROP_SIZE)
    for mask, (x0, y0, x1, y1) in zip(pixels, inputs['crop_boxes'].int().tolist(), strict=True):
        mask[y0:y1, x0:x1] = 1

    def inner_four(maps):  # of each 4 x 4 pixels; slowly, by Python's own indices
        small = torch.zeros(*maps.shape[:-2], 8, 8)
        for row in range(8):
            for column in range(8):
                inner = maps[..., 4 * row + 1 : 4 * row + 3, 4 * column + 1 : 4 * column + 3]
                small[..., row, column] = inner.mean((-2, -1))
        return small

    colours, box_masks = labeler.mask_frame(inputs, 8)
    torch.testing.assert_close(colours, inner_four(inputs['student_images']))
    torch.testing.assert_close(box_masks, inner_four(pixels))
    # a left border at 6 of 4 cells' 4 px halves its cell; a box of 2 x 4 px falls between samples
    assert box_masks[0, 1:6, 3].tolist() == [0.5, 1, 1, 1, 0]
    assert box_masks[2].max() == 0.5


def test_clean_colours_are_the_teachers_and_shrink_to_the_mean_of_all():
    inputs = random_inputs()
    for labeler in (build(), build(crf_view='student', shrink='area')):
        view = 'student_images' if labeler.crf_view == 'student' else 'images'
        colours, box_masks = labeler.mask_frame(inputs, 8)
        torch.testing.assert_close(colours, F.avg_pool2d(inputs[view], 4))
        whole = draw_box_masks(inputs['crop_boxes'], CROP_SIZE, CROP_SIZE)
        torch.testing.assert_close(box_masks, F.avg_pool2d(whole[:, None], 4)[:, 0])
    del inputs['student_images']  # labeling has none
    assert torch.equal(
        build(crf_view='student').mask_frame(inputs, 8)[0], build().mask_frame(inputs, 8)[0]
    )
    with pytest.raises(ValueError, match=r"`crf_view` must be one of .*, got 'teacher'"):
        build(crf_view='teacher')
    with pytest.raises(ValueError, match=r"`shrink` must be one of .*, got 'bicubic'"):
        build(shrink='bicubic')


# -- networks -------------------------------------------------------------------------------------


def test_every_layer_of_the_query_decoder_is_judged_by_the_same_labels():
    decoder = {'type': 'QueryDecoder', 'channels': 8, 'num_heads': 2, 'num_layers': 2}
    network = {**model_config()['network'], 'decoder': decoder}
    labeler, inputs = part_networks(build(network=network)).train(), random_inputs()
    losses = labeler.loss(inputs)

    feature = labeler.student.encoder(inputs['student_images'])
    layers = labeler.student.decoder.decode_layers(feature, inputs['box_areas'])
    *earlier, last = (logits.sigmoid() for logits in layers)
    assert len(earlier) == 2  # of the query as it is learned, and after the first layer
    teacher = labeler.teacher(inputs['images'], inputs['box_areas']).sigmoid()
    colours, boxes = labeler.mask_frame(inputs, 8)
    labels = labeler.crf_loss.mean_field(colours, (last + teacher) / 2, boxes)
    torch.testing.assert_close(losses['loss_mil'], 4 * mil_loss(last, boxes).mean())
    expected = sum(
        4 * mil_loss(probs, boxes).mean() + 0.5 * dice_loss(probs, labels).mean()
        for probs in earlier
    )
    torch.testing.assert_close(losses['loss_deep'], expected)

    light = {**network, 'decoder': {**decoder, 'deep_supervision': False}}
    assert 'loss_deep' not in build(network=light).train().loss(inputs)
