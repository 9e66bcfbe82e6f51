"""LoadReportHook says which tensors a checkpoint does not bring."""

from __future__ import annotations

import pytest
import torch

from mal_mm.hooks.load_report_hook import load_report

pytestmark = pytest.mark.slow


def test_three_kinds_of_difference_are_told_apart():
    model = {'a': torch.zeros(2, 3), 'b': torch.zeros(4), 'c': torch.zeros(1)}
    weights = {'a': torch.zeros(5, 3), 'c': torch.zeros(1), 'd': torch.zeros(7)}
    assert load_report(model, weights) == [
        'Initialisation kept, the checkpoint has another shape (1 tensors): a (5, 3) -> (2, 3)',
        'Initialisation kept, not in the checkpoint (1 tensors): b',
        'In the checkpoint, but not in the model (1 tensors): d',
    ]


def test_a_checkpoint_that_fits_says_nothing():
    model = {'a': torch.zeros(2), 'bn.num_batches_tracked': torch.tensor(0)}
    assert load_report(model, {'a': torch.ones(2)}) == []


def test_a_file_of_another_model_does_not_fill_pages():
    (line,) = load_report({}, {f't{i}': torch.zeros(1) for i in range(500)})
    assert line.endswith('t29 and 470 more')
