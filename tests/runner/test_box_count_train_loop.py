from __future__ import annotations

import logging
from types import SimpleNamespace

import pytest
from mmdet.registry import LOOPS
from torch.utils.data import DataLoader, Dataset


class Boxes(Dataset):
    metainfo: dict = {}  # noqa: RUF012

    def __init__(self, boxes, views=1):
        self.boxes_xyxy = [[0, 0, 1, 1]] * boxes
        self.views = views

    def __len__(self):
        return len(self.boxes_xyxy) * self.views

    def __getitem__(self, index):
        return index


def build(dataset, batch_size=4, **arguments):
    runner = SimpleNamespace(
        visualizer=SimpleNamespace(dataset_meta=None), logger=logging.getLogger('loop')
    )
    loader = DataLoader(dataset, batch_size)
    config = {'type': 'BoxCountTrainLoop', 'runner': runner, 'dataloader': loader, **arguments}
    return LOOPS.build(config)


@pytest.mark.parametrize(
    ('boxes', 'epochs', 'iterations'),
    [
        (10, 11, 33),  # 10 * 2 < 33: the least, in epochs of 3
        (32, 8, 64),  # 32 * 2
        (33, 8, 72),  # 66 / 9, rounded up
        (400, 1, 100),  # an epoch is the least, even beyond the most
    ],
)
def test_length_follows_the_number_of_boxes(boxes, epochs, iterations):
    loop = build(Boxes(boxes), iters_per_box=2, min_iters=33, max_iters=90)
    assert (loop.max_epochs, loop.max_iters) == (epochs, iterations)


def test_views_of_a_box_make_epochs_longer_and_not_the_training():
    loop = build(Boxes(32, views=4), iters_per_box=2, min_iters=1, max_iters=1000)
    assert (loop.max_epochs, loop.max_iters) == (2, 64)


def test_stated_epochs_override_the_rule():
    loop = build(Boxes(32), iters_per_box=2, min_iters=1, max_iters=1000, max_epochs=3)
    assert (loop.max_epochs, loop.max_iters) == (3, 24)


@pytest.mark.parametrize('bounds', [(0, 5), (6, 5)])
def test_impossible_bounds_are_refused(bounds):
    with pytest.raises(ValueError, match=r'must be 0 < min_iters <= max_iters, got'):
        build(Boxes(4), min_iters=bounds[0], max_iters=bounds[1])


def test_dataset_without_boxes_is_refused():
    with pytest.raises(TypeError, match=r'needs a RoIDataset, got list; set train_cfg\.type'):
        build([1, 2, 3])
