from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmdet.registry import MODELS

from mal_mm.models.losses import MILLoss, background_loss, dice_loss, mil_loss, mil_loss_printed


def box(H, W, top, left, bottom, right):
    mask = torch.zeros(1, H, W)
    mask[:, top:bottom, left:right] = 1
    return mask


def test_mil_loss_is_the_released_one(load_reference):
    arrays = {name: torch.from_numpy(array) for name, array in load_reference('losses').items()}
    found = mil_loss(arrays['mask_probs'], arrays['box_masks'])
    torch.testing.assert_close(found, arrays['mil_loss'], atol=1e-5, rtol=0)


def test_dice_loss_of_refined_labels_is_the_released_one(load_reference):
    arrays = {name: torch.from_numpy(array) for name, array in load_reference('losses').items()}
    found = dice_loss(arrays['mask_probs'], arrays['crf_labels'])
    torch.testing.assert_close(found, arrays['crf_dice'], atol=1e-5, rtol=0)


def test_dice_loss_by_hand():
    probs = torch.tensor([[0.5, 0.0], [1.0, 1.0]])
    target = torch.tensor([[1.0, 0.0], [1.0, 1.0]])
    # 1 - 2 * 0.5 / (0.25 + 0.001 + 1 + 0.001), 1 - 4 / 4.002
    torch.testing.assert_close(dice_loss(probs, target), torch.tensor([0.2012780, 0.0004998]))


def test_mil_loss_by_hand():
    probs = torch.tensor([[[0.5, 0.0], [0.0, 0.0]]])
    # rows and columns are both (0.5, 0) against (1, 0)
    torch.testing.assert_close(
        mil_loss(probs, box(2, 2, 0, 0, 1, 1)), torch.tensor([2 * 0.2012780])
    )


def test_mil_loss_tells_rows_from_columns():
    target = box(4, 6, 0, 0, 4, 3)
    probs = box(4, 6, 0, 0, 4, 1)  # all rows are right, two of three columns are missing
    rows = 1 - 8 / 8.002
    columns = 1 - 2 / (1 + 3 + 0.002)
    torch.testing.assert_close(mil_loss(probs, target), torch.tensor([rows + columns]))


def test_mil_loss_vanishes_when_mask_fills_box():
    target = box(16, 16, 3, 2, 13, 12)
    assert mil_loss(target, target).item() < 3e-4


def test_mil_loss_vanishes_for_any_mask_that_meets_all_rows_and_columns_of_the_box():
    target = box(16, 16, 3, 2, 13, 12)
    diagonal = torch.zeros(1, 16, 16)
    for step in range(10):
        diagonal[0, 3 + step, 2 + step] = 1
    assert mil_loss(diagonal, target).item() < 3e-4


def test_mil_loss_of_an_empty_mask_is_two():
    target = box(16, 16, 3, 2, 13, 12)
    assert mil_loss(torch.zeros(1, 16, 16), target).item() == pytest.approx(2)


def test_marking_pixels_outside_the_box_costs():
    target = box(16, 16, 3, 2, 13, 12)
    spill = target.clone()
    spill[0, 14, 15] = 1
    assert mil_loss(spill, target) > mil_loss(target, target) + 0.05


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000))
def test_mil_loss_stays_between_zero_and_two(seed):
    generator = torch.Generator().manual_seed(seed)
    probs, target = torch.rand(2, 3, 9, 11, generator=generator)
    values = mil_loss(probs, target)
    assert values.shape == (3,)
    assert ((values >= 0) & (values <= 2)).all()


def test_gradient_reaches_the_strongest_pixel_of_each_bag_only():
    probs = torch.tensor([[[0.9, 0.1, 0.2], [0.3, 0.4, 0.15]]], requires_grad=True)
    mil_loss(probs, torch.ones(1, 2, 3)).sum().backward()
    # maxima: rows 0.9 and 0.4; columns 0.9, 0.4, 0.2
    assert (probs.grad != 0).tolist() == [[[True, False, True], [False, True, False]]]
    assert (probs.grad <= 0).all()  # the bags are positive: more is better


def test_module_takes_the_weighted_mean_in_float32():
    probs, target = torch.rand(2, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    loss = MODELS.build({'type': 'MILLoss', 'loss_weight': 4.0})
    assert isinstance(loss, MILLoss)
    torch.testing.assert_close(loss(probs, target), 4 * mil_loss(probs, target).mean())
    with torch.autocast('cpu', torch.bfloat16):
        half = loss(probs.bfloat16(), target)
    assert half.dtype == torch.float32
    torch.testing.assert_close(half, 4 * mil_loss(probs.bfloat16().float(), target).mean())


def test_shapes_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r'`box_masks` must be \(1, 4, 4\) like `mask_probs`'):
        mil_loss(torch.zeros(1, 4, 4), torch.zeros(1, 4, 5))
    with pytest.raises(ValueError, match=r'`target` must be \(2, 3\) like `probs`, got \(2, 4\)'):
        dice_loss(torch.zeros(2, 3), torch.zeros(2, 4))


# -- as printed -----------------------------------------------------------------------------------


def test_printed_mil_loss_is_one_dice_of_squared_maxima_over_all_bags():
    probs = torch.tensor([[[0.5, 0.2, 0.0], [0.1, 0.4, 0.3]]])
    target = box(2, 3, 0, 0, 1, 2)
    rows, columns = (0.5, 0.4), (0.5, 0.4, 0.3)
    of_rows, of_columns = (1, 0), (1, 1, 0)
    above = sum(
        g * m**2 for g, m in zip(of_rows + of_columns, rows + columns, strict=True)
    )  # 0.25 + 0.25 + 0.16
    below = sum(m**2 for m in rows + columns) + 3
    found = mil_loss_printed(probs, target)
    torch.testing.assert_close(found, torch.tensor([1 - 2 * above / below]))
    assert mil_loss_printed(target, target).item() == pytest.approx(0, abs=1e-6)
    loss = MODELS.build({'type': 'MILLoss', 'form': 'paper'})
    torch.testing.assert_close(loss(probs, target), 4 * found[0])
    with pytest.raises(ValueError, match=r"`form` must be one of .*, got 'dice'"):
        MILLoss(form='dice')


# -- crops without a box --------------------------------------------------------------------------


def test_background_loss_is_the_mean_log_loss_of_negative_bags():
    probs = torch.zeros(1, 2, 2)
    probs[0, 0, 1] = 0.5  # one of two rows, one of two columns
    assert background_loss(probs).item() == pytest.approx(math.log(2) / 2)
    assert background_loss(torch.zeros(1, 4, 4)).item() == 0
    assert torch.isfinite(background_loss(torch.ones(1, 4, 4))).all()


def test_a_crop_without_a_box_is_pushed_down_and_others_are_unchanged():
    probs = torch.full((2, 4, 4), 0.5, requires_grad=True)
    box_masks = torch.zeros(2, 4, 4)
    box_masks[0, 1:3, 1:3] = 1
    loss = MILLoss(loss_weight=3)(probs, box_masks)
    expected = 3 * (mil_loss(probs, box_masks)[0] + background_loss(probs)[1]) / 2
    assert loss.item() == pytest.approx(expected.item())
    loss.backward()
    assert probs.grad[1].ge(0).all() and probs.grad[1].any()
