from __future__ import annotations

import pytest
import torch
from mmdet.registry import MODELS

from mal_mm.models.losses import CRFLoss, MeanField, dice_loss


@pytest.fixture
def two_colours():
    """A red square on blue; its box is a little larger."""
    image = torch.zeros(1, 3, 12, 12)
    image[:, 2] = 1
    image[:, :, 4:8, 4:8] = torch.tensor([1.0, 0.0, 0.0]).view(1, 3, 1, 1)
    square = torch.zeros(1, 12, 12)
    square[:, 4:8, 4:8] = 1
    box_masks = torch.zeros(1, 12, 12)
    box_masks[:, 3:9, 3:9] = 1
    return image, square, box_masks


def judge(loss, image, student, teacher, box_masks):
    return loss(student, loss.refine(image, student, teacher, box_masks))


def test_labels_follow_the_colours(two_colours):
    image, square, box_masks = two_colours
    vague = 0.3 + 0.3 * square
    vague[0, 5, 5] = 0.2  # a hole, which its equal neighbours fill
    assert torch.equal(CRFLoss().refine(image, vague, vague, box_masks), square.byte())


def test_what_is_refined_is_the_mean_of_student_and_teacher(two_colours):
    image, square, box_masks = two_colours
    loss = CRFLoss(mean_field={'num_iters': 0})
    teacher = 0.4 * square
    assert loss.refine(image, 0.7 * square, teacher, box_masks).sum() == 16  # mean 0.55
    assert loss.refine(image, 0.5 * square, teacher, box_masks).sum() == 0  # mean 0.45


def test_loss_is_the_weighted_dice_of_the_student_and_the_refined_labels(two_colours):
    image, square, box_masks = two_colours
    student, teacher = 0.2 + 0.5 * square, 0.1 + 0.7 * square
    loss = MODELS.build({'type': 'CRFLoss', 'loss_weight': 0.5})
    labels = MeanField()(image, (student + teacher) / 2, box_masks)
    expected = 0.5 * dice_loss(student, labels).mean()
    torch.testing.assert_close(judge(loss, image, student, teacher, box_masks), expected)


def test_loss_vanishes_where_the_student_agrees(two_colours):
    image, square, box_masks = two_colours
    assert judge(CRFLoss(), image, square, square, box_masks).item() < 1e-4


def test_gradient_pulls_the_student_to_the_labels_and_spares_the_teacher(two_colours):
    image, square, box_masks = two_colours
    student = (0.2 + 0.5 * square).requires_grad_()
    teacher = (0.1 + 0.7 * square).requires_grad_()
    judge(CRFLoss(), image, student, teacher, box_masks).backward()
    assert (student.grad[square == 1] < 0).all()
    assert (student.grad[square == 0] > 0).all()
    assert teacher.grad is None


def test_loss_is_float32_in_mixed_precision(two_colours):
    image, square, box_masks = two_colours
    student = (0.2 + 0.5 * square).bfloat16()
    with torch.autocast('cpu', torch.bfloat16):
        found = judge(CRFLoss(), image, student, student, box_masks)
    assert found.dtype == torch.float32
    torch.testing.assert_close(
        found, judge(CRFLoss(), image, student.float(), student.float(), box_masks)
    )
