from __future__ import annotations

import math

import pytest
import torch

from mal_mm.models.losses import ClassificationLoss

LABELS = torch.tensor([0, 2])
NONE_IS_BACKGROUND = torch.zeros(2, dtype=torch.bool)


def test_one_layer_gives_the_cross_entropy_without_background():
    loss = ClassificationLoss(1, 'class_token', num_classes=3, loss_weight=2)
    (layer,) = loss.fcs
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[1.0], [0.0], [0.0]]))
        layer.bias.zero_()
    vectors = torch.tensor([[2.0], [5.0]])
    value = loss(vectors, LABELS, torch.tensor([False, True]))
    assert value.item() == pytest.approx(2 * math.log(1 + 2 * math.exp(-2)))


def test_the_encoders_map_is_read_by_two_layers_and_the_other_vectors_by_one():
    widths = {
        source: [
            tuple(p.shape)
            for p in ClassificationLoss(6, source, num_classes=3, channels=4).fcs.parameters()
        ]
        for source in ('instance_head', 'encoder', 'class_token')
    }
    one = [(3, 6), (3,)]
    assert widths == {
        'instance_head': one,
        'encoder': [(4, 6), (4,), (3, 4), (3,)],
        'class_token': one,
    }


def test_nothing_but_background_costs_nothing():
    loss = ClassificationLoss(1, num_classes=3)
    value = loss(torch.rand(2, 1), LABELS, ~NONE_IS_BACKGROUND)
    assert value.item() == 0
    value.backward()


def test_misuse_is_refused():
    with pytest.raises(ValueError, match=r"`source` must be one of .*, got 'colour'"):
        ClassificationLoss(1, 'colour', num_classes=2)
    with pytest.raises(ValueError, match='`num_classes` must be the number of classes'):
        ClassificationLoss(1, 'encoder')
