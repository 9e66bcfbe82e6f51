"""The kernel for a GPU, in Triton's interpreter; without Triton there is none to test."""

from __future__ import annotations

import importlib
import math
import sys

import pytest
import torch

from mal_mm.models.losses import MeanField

pytestmark = pytest.mark.slow  # nothing here depends on the stack


@pytest.fixture
def kernel(monkeypatch):
    pytest.importorskip('triton')
    monkeypatch.setenv('TRITON_INTERPRET', '1')
    name = 'mal_mm.models.losses.mean_field_kernel'
    monkeypatch.delitem(sys.modules, name, raising=False)
    yield importlib.import_module(name)
    sys.modules.pop(name, None)


@pytest.mark.parametrize(
    ('shape', 'kernel_size', 'num_iters'),
    [
        ((2, 7, 9), 3, 12),  # less than a band
        ((2, 70, 33), 3, 23),  # three bands, three times ten iterations begun
        ((1, 40, 17), 5, 11),  # two cells around a pixel
        ((1, 30, 1), 3, 2),  # a single column
        ((1, 4, 5), 3, 0),
    ],
)
def test_the_kernel_gives_the_labels_of_the_plain_loop(
    kernel, monkeypatch, shape, kernel_size, num_iters
):
    generator = torch.Generator().manual_seed(0)
    N, H, W = shape
    image = 0.15 * torch.randn(N, 3, H, W, generator=generator)
    probs = torch.rand(shape, generator=generator)
    box_masks = torch.zeros(shape)
    box_masks[:, 1:] = 1
    field = MeanField(kernel_size, num_iters, zeta=0.5)
    expected = field(image, probs, box_masks)
    assert 0 < expected.double().mean() < 1

    def iterate(z, weights, ceiling, half):
        limit = math.log(9)
        return kernel.iterate(z, weights, ceiling, limit, num_iters, kernel_size // 2)

    monkeypatch.setattr(field, '_iterate', iterate)
    assert torch.equal(field(image, probs, box_masks), expected)
