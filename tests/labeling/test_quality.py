import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mal_mm.labeling import mask_quality

WHOLE = torch.tensor([[0.0, 0.0, 4.0, 4.0]])


def quality(probs, box=WHOLE):
    return mask_quality(torch.as_tensor(probs, dtype=torch.float32)[None], box).item()


def test_a_sure_mask_that_fills_its_box_is_perfect():
    assert quality(torch.ones(4, 4)) == 1


def test_an_empty_mask_is_worth_nothing():
    assert quality(torch.zeros(4, 4)) == 0
    assert quality(torch.full((4, 4), 0.5)) == 0  # nothing above one half
    assert quality(torch.zeros(4, 4), torch.zeros(1, 4)) == 0


def test_doubt_lowers_the_quality_to_the_soft_iou():
    # common 16 * 0.8, union 16
    assert quality(torch.full((4, 4), 0.8)) == pytest.approx(0.8)


def test_a_side_that_is_not_reached_lowers_the_quality():
    left_half = torch.zeros(4, 4)
    left_half[:, :2] = 1
    assert quality(left_half) == 0.5
    # a diagonal reaches all four sides
    assert quality(torch.eye(4)) == 1


def test_decidedness_and_tightness_are_multiplied():
    probs = torch.full((4, 4), 0.25)
    probs[1:3] = 0.75
    # common 8 * 0.75 = 6, union 6 + 2 + 8 - 6 = 10; two of four rows
    assert quality(probs) == pytest.approx(0.6 * 0.5)


def test_a_box_elsewhere_on_the_crop_is_compared_in_place():
    probs = torch.zeros(6, 6)
    probs[2:5, 1:5] = 1
    assert quality(probs, torch.tensor([[1.0, 2, 5, 5]])) == 1
    # boxes 3 x 4 and 3 x 5 around it: 12 / 15
    assert quality(probs, torch.tensor([[1.0, 2, 6, 5]])) == pytest.approx(0.8)


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 10**6), sharpness=st.sampled_from([0.1, 1, 30]))
def test_the_quality_of_anything_lies_between_0_and_1(seed, sharpness):
    generator = torch.Generator().manual_seed(seed)
    probs = (sharpness * torch.randn(3, 8, 8, generator=generator)).sigmoid()
    boxes = 8 * torch.rand(3, 4, generator=generator).sort(dim=1).values
    qualities = mask_quality(probs, boxes)
    assert qualities.shape == (3,)
    assert ((qualities >= 0) & (qualities <= 1)).all()
