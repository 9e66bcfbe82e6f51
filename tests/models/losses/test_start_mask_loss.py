from __future__ import annotations

import math

import pytest
import torch

from mal_mm.models.losses import StartMaskLoss


def test_loss_is_dice_plus_cross_entropy():
    probs = torch.tensor([[[0.8, 0.4]]])
    masks = torch.tensor([[[1.0, 0.0]]])
    dice = 1 - 2 * 0.8 / (0.8**2 + 0.4**2 + 1 + 0.002)
    entropy = -(math.log(0.8) + math.log(0.6)) / 2
    found = StartMaskLoss(loss_weight=2.0)(probs, masks)
    assert found.item() == pytest.approx(2 * (dice + entropy), rel=1e-5)


def test_crop_without_a_mask_does_not_count():
    torch.manual_seed(0)
    probs, masks = torch.rand(3, 4, 4, requires_grad=True), torch.rand(3, 4, 4)
    masks[1] = 0
    of_all, of_two = (StartMaskLoss()(probs[p], masks[p]) for p in ([0, 1, 2], [0, 2]))
    torch.testing.assert_close(of_all, of_two)
    gradients = [torch.autograd.grad(loss, probs)[0] for loss in (of_all, of_two)]
    torch.testing.assert_close(*gradients)


def test_batch_without_masks_has_a_loss_of_zero_and_gradients_of_zero():
    probs = torch.rand(2, 4, 4, requires_grad=True)
    loss = StartMaskLoss()(probs, torch.zeros(2, 4, 4))
    loss.backward()
    assert loss.item() == 0
    assert not probs.grad.any()


@pytest.mark.parametrize(('progress', 'counts'), [(0.0, True), (0.29, True), (0.3, False)])
def test_masks_count_until_a_share_of_the_training(progress, counts):
    loss = StartMaskLoss(until=0.3)(torch.rand(1, 4, 4), torch.ones(1, 4, 4), progress)
    assert (loss > 0) == counts


def test_certain_and_wrong_is_a_finite_loss():
    probs = torch.tensor([[[0.0, 1.0]]])
    assert StartMaskLoss()(probs, 1 - probs).isfinite()


@pytest.mark.parametrize('until', [0, -0.1, 1.1])
def test_shares_outside_of_zero_to_one_are_refused(until):
    with pytest.raises(ValueError, match=r'`until` must lie in \(0, 1\], got'):
        StartMaskLoss(until=until)
