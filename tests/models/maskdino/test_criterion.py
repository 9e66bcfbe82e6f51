"""Points and losses by hand; tests of the head compare all losses with the authors'."""

from __future__ import annotations

from dataclasses import replace

import maskdino_mini as mini
import maskdino_runs as runs
import pytest
import torch
from mmcv.ops import point_sample

from mal_mm.models.maskdino import (
    DecoderOutput,
    MaskDINOCriterion,
    PointSampler,
    QueryDenoising,
    SegmentTargets,
)
from mal_mm.models.maskdino.criterion import Pairs
from mal_mm.models.maskdino.mask_points import sample_maps, sample_masks


def test_uncertain_points_are_the_authors(monkeypatch):
    reference = {
        name: mini.tensor('criterion', f'ps_{name}')
        for name in ('logits', 'rand_over', 'rand_tail', 'num_points', 'out')
    }
    draws = iter([reference['rand_over'], reference['rand_tail']])
    monkeypatch.setattr(torch, 'rand', lambda *shape, device: next(draws).view(shape))
    points = PointSampler(int(reference['num_points'])).uncertain(reference['logits'][:, 0])
    assert points.equal(reference['out'])


def test_masks_are_sampled_like_float_maps_also_across_the_edge():
    generator = torch.Generator().manual_seed(0)
    masks = torch.randint(2, (3, 5, 7), generator=generator, dtype=torch.uint8)
    index = torch.tensor([2, 0, 0, 1])
    points = torch.rand(4, 200, 2, generator=generator) * 1.4 - 0.2
    expected = point_sample(masks[index, None].float(), points)[:, 0]
    torch.testing.assert_close(sample_masks(masks, index, points), expected, rtol=0, atol=1e-5)
    shared = sample_maps(masks.float(), points[0])
    assert shared.equal(sample_maps(masks.float(), points[:1].expand(3, -1, -1)))


def one_image(labels, boxed) -> SegmentTargets:
    """Segments of 4 x 4 pixels that fill the left half."""
    n = len(labels)
    masks = torch.zeros(n, 4, 4, dtype=torch.uint8)
    masks[..., :2] = 1
    boxes = torch.tensor([[0.25, 0.5, 0.5, 1.0]]).repeat(n, 1)
    return SegmentTargets(torch.tensor(labels), boxes, masks, torch.tensor(boxed))


def test_losses_of_one_pair_worked_out_by_hand():
    criterion = MaskDINOCriterion(2, point_sampler=dict(num_points=64))
    boxes = torch.tensor([[[0.75, 0.5, 0.5, 1.0]]])  # the right half
    prediction = [torch.zeros(1, 1, 2), boxes, torch.zeros(1, 1, 4, 4)]
    pairs = Pairs(*torch.zeros(3, 1, dtype=torch.long))
    losses = criterion.losses(prediction, one_image([1], [True]), pairs, torch.tensor(2.0))
    log2 = torch.tensor(2.0).log()
    # p = 1/2: (1 - p)^2 log 2, a quarter of it for the class, three for the other
    torch.testing.assert_close(losses['cls'], 4 * (0.25 + 0.75) * 0.25 * log2 / 2)
    torch.testing.assert_close(losses['mask'], 5 * log2 / 2)
    torch.testing.assert_close(losses['bbox'], torch.tensor(5 * 0.5 / 2))
    # no overlap, the hull is their union
    torch.testing.assert_close(losses['iou'], torch.tensor(2 * 1.0 / 2))
    assert 0 < losses['dice'] < 5 / 2


def test_boxes_of_stuff_are_not_learned():
    criterion = MaskDINOCriterion(2, point_sampler=dict(num_points=16))
    boxes = torch.full((1, 2, 4), 0.4, requires_grad=True)
    prediction = [torch.zeros(1, 2, 2), boxes, torch.zeros(1, 2, 4, 4)]
    pairs = Pairs(*torch.tensor([[0, 0], [0, 1], [0, 1]]))
    losses = criterion.losses(prediction, one_image([0, 1], [True, False]), pairs, torch.tensor(2))
    (losses['bbox'] + losses['iou']).backward()
    assert boxes.grad[0, 0].abs().sum() > 0
    assert boxes.grad[0, 1].eq(0).all()


def test_cross_entropy_weighs_no_object_by_a_tenth():
    criterion = MaskDINOCriterion(1, class_loss='cross_entropy', cls_weight=1.0)
    # class 0 right by log 3, "no object" wrong by log 3
    logits = torch.tensor([[3.0, 1.0], [3.0, 1.0]]).log()
    loss = criterion._class_loss(logits, torch.tensor([0, 1]), torch.tensor(1.0))
    expected = -(torch.tensor(0.75).log() + 0.1 * torch.tensor(0.25).log()) / 1.1
    torch.testing.assert_close(loss, expected)


def test_losses_are_float32_of_half_precision_predictions():
    targets = [replace(target, boxes=target.boxes.clone()) for target in runs.targets()]
    generator = torch.Generator().manual_seed(0)
    output = DecoderOutput(
        class_logits=[torch.randn(2, 20, 5, generator=generator).bfloat16()],
        boxes=[torch.rand(2, 20, 4, generator=generator)],
        mask_logits=[torch.randn(2, 20, 32, 40, generator=generator).bfloat16()],
        selection=None,
        topk_indices=None,
    )
    criterion = MaskDINOCriterion(5, point_sampler=dict(num_points=32))
    off = QueryDenoising(5, 20, dn_num=0)(targets)
    with torch.autocast('cpu', torch.bfloat16):
        losses = criterion(output, targets, off)
    assert {loss.dtype for loss in losses.values()} == {torch.float32}
    assert all(torch.isfinite(loss) for loss in losses.values())


def test_unknown_class_loss_is_refused():
    with pytest.raises(ValueError, match=r"class_loss.*'softmax'"):
        MaskDINOCriterion(5, class_loss='softmax')
