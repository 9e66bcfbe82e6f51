"""MaskDINO trains and predicts for each task."""

from __future__ import annotations

import maskdino_ranks
import pytest
import tiny_maskdino
import torch
from mmdet.evaluation import SemSegMetric
from mmdet.registry import MODELS
from mmengine.structures import PixelData
from torch import nn


def build(task: str, **head: object) -> nn.Module:
    torch.manual_seed(0)
    return MODELS.build(tiny_maskdino.model_config(task, **head))


def losses_of(model: nn.Module, batch: dict) -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    return model(**model.data_preprocessor(batch, training=True), mode='loss')


@pytest.fixture(params=list(tiny_maskdino.TASKS))
def task(request) -> str:
    return request.param


def test_training_step_lowers_the_loss(task):
    model = build(task)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    totals = []
    for _ in range(3):
        losses = losses_of(model, tiny_maskdino.data_batch(task))
        total, _ = model.parse_losses(losses)
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        totals.append(total.item())
    assert totals[-1] < totals[0]
    assert [name for name, p in model.named_parameters() if p.grad is None] == []


def test_results_lie_in_the_original_image(task):
    model = build(task).eval()
    batch = tiny_maskdino.data_batch(task)
    things, stuff = tiny_maskdino.TASKS[task]
    with torch.no_grad():
        samples = model(**model.data_preprocessor(batch), mode='predict')
    for sample in samples:
        H, W = sample.ori_shape
        assert ('pred_instances' in sample) == (task != 'semantic')
        assert ('pred_panoptic_seg' in sample) == (task == 'panoptic')
        assert ('pred_sem_seg' in sample) == (task != 'instance')
        if task != 'semantic':
            instances = sample.pred_instances
            assert len(instances) > 0
            assert instances.masks.shape == (len(instances), H, W)
            assert (instances.labels < things).all()
            x0, y0, x1, y1 = instances.bboxes.unbind(1)
            assert (x0 >= 0).all() and (x0 <= x1).all() and (x1 <= W).all()
            assert (y0 >= 0).all() and (y0 <= y1).all() and (y1 <= H).all()
        if task == 'panoptic':
            panoptic_map = sample.pred_panoptic_seg.sem_seg
            assert panoptic_map.shape == (1, H, W)
            assert (panoptic_map % 1000 <= things + stuff).all()
        if task == 'semantic':
            check_semantic_metric(sample)


def check_semantic_metric(sample) -> None:
    prediction = sample.pred_sem_seg.sem_seg
    sample.gt_sem_seg = PixelData(sem_seg=prediction.clone())  # as if it were right everywhere
    metric = SemSegMetric()
    metric.dataset_meta = dict(classes=list('abcd'))
    metric.process({}, [sample.to_dict()])
    assert metric.evaluate(1)['aAcc'] == 100


@pytest.mark.parametrize('num_objects', [(0, 2), (0, 0), (8, 1)])
def test_images_without_objects_and_with_too_many_for_denoising_train(num_objects):
    model = build('instance')
    losses = losses_of(model, tiny_maskdino.data_batch('instance', num_objects))
    total, log = model.parse_losses(losses)
    total.backward()
    assert torch.isfinite(total)
    assert [name for name, p in model.named_parameters() if p.grad is None] == []
    denoising = [value for name, value in log.items() if 'dn_loss' in name]
    assert len(denoising) == 3 * 5
    assert all(value == 0 for value in denoising) == (num_objects != (0, 2))


def test_losses_under_autocast_stay_close():
    model = build('instance')
    batch = tiny_maskdino.data_batch
    exact = losses_of(model, batch())
    with torch.autocast('cpu', torch.bfloat16):
        rounded = losses_of(model, batch())
    assert rounded.keys() == exact.keys()
    assert {value.dtype for value in rounded.values()} == {torch.float32}
    total = sum(exact.values()).item()
    assert sum(rounded.values()).item() == pytest.approx(total, rel=0.05)


BOXES_ONLY = dict(
    with_mask=False,
    decoder=dict(tiny_maskdino.TINY_DECODER, box_init='no'),
    denoising=dict(dn_num=6),
)


def test_detector_has_the_class_and_box_losses_of_the_full_model():
    detector = build('instance', **BOXES_ONLY)
    full = build(
        'instance',
        decoder=BOXES_ONLY['decoder'],
        criterion=dict(mask_weight=0, dice_weight=0, point_sampler=dict(num_points=16)),
    )
    left = full.load_state_dict(detector.state_dict(), strict=False)
    assert left.unexpected_keys == []
    assert all('mask' in key or 'al_conv' in key or 't_conv' in key for key in left.missing_keys)
    batch = tiny_maskdino.data_batch('instance')
    expected = losses_of(full, batch)
    for sample in batch['data_samples']:
        del sample.gt_instances.masks
    losses = losses_of(detector, batch)
    assert losses.keys() == {k for k in expected if 'mask' not in k and 'dice' not in k}
    for name, loss in losses.items():
        torch.testing.assert_close(loss, expected[name])
    sum(losses.values()).backward()
    assert [name for name, p in detector.named_parameters() if p.grad is None] == []


def test_detector_predicts_boxes_with_the_score_of_their_class():
    detector = build('instance', **BOXES_ONLY).eval()
    batch = detector.data_preprocessor(tiny_maskdino.data_batch('instance'))
    with torch.no_grad():
        output = detector(**batch, mode='tensor')
        samples = detector(**batch, mode='predict')
    assert output.mask_logits[-1] is None
    for sample, logits in zip(samples, output.class_logits[-1], strict=True):
        instances = sample.pred_instances
        assert 'masks' not in instances
        expected = logits.sigmoid().flatten().topk(len(instances)).values
        torch.testing.assert_close(instances.scores, expected)
        assert (instances.bboxes[:, 2] <= sample.ori_shape[1]).all()


@pytest.mark.parametrize(
    'task, head, message',
    [
        ('instance', dict(with_mask=False), "'no' without masks"),
        ('panoptic', BOXES_ONLY, r'num_stuff_classes` \(=2\) must be 0'),
    ],
)
def test_boxes_alone_with_what_needs_masks_is_refused(task, head, message):
    with pytest.raises(ValueError, match=message):
        build(task, **head)


@pytest.mark.long
def test_ranks_share_the_number_of_objects_and_wait_for_no_parameter(tmp_path):
    alone = losses_of(build('instance'), tiny_maskdino.data_batch('instance', (2, 1)))
    torch.multiprocessing.spawn(maskdino_ranks.train_rank, args=(tmp_path,), nprocs=2)
    losses = torch.load(tmp_path / 'losses.pth')
    # the other rank has no object at all, so that the two have 1.5 each instead of 3
    for name in ('loss_mask', 'd0.loss_bbox', 'enc_loss_cls', 'dn_loss_dice'):
        torch.testing.assert_close(losses[name], alone[name].detach() * 2)
