"""Hybrid matching against the authors' numbers."""

from __future__ import annotations

from dataclasses import replace

import maskdino_mini as mini
import maskdino_runs as runs
import pytest
import torch

from mal_mm.models.maskdino import HybridMatcher
from mal_mm.models.maskdino.matching import generalized_box_iou

WEIGHTS = dict(cls=4.0, mask=5.0, dice=5.0, bbox=5.0, iou=2.0)
OFFICIAL_NAMES = dict(cls='class', mask='mask', dice='dice', bbox='box', iou='giou')


def reference(key):
    return mini.tensor('matcher', key)


@pytest.fixture
def matcher() -> HybridMatcher:
    return HybridMatcher(WEIGHTS, runs.fixed_points())


def prediction(output):
    return [reference(f'{output}_pred_{name}') for name in ('logits', 'boxes', 'masks')]


@pytest.mark.parametrize('output', ['aux0', 'aux1', 'aux2', 'final', 'interm'])
def test_costs_and_assignments_are_the_authors(matcher, output):
    targets = runs.targets()
    matches = matcher(*prediction(output), targets)
    for image, (query, segment) in enumerate(matches):
        one_image = [part[image] for part in prediction(output)]
        cost = matcher.weighted_cost(*one_image, targets[image])
        mini.assert_near(cost, reference(f'{output}_img{image}_cost'), 1e-6)
        assert query.equal(reference(f'{output}_img{image}_src_idx'))
        assert segment.equal(reference(f'{output}_img{image}_tgt_idx'))


@pytest.mark.parametrize('image', [0, 1])
def test_each_cost_is_the_authors(matcher, image):
    one_image = [part[image] for part in prediction('final')]
    for name, cost in matcher.costs(*one_image, runs.targets()[image]).items():
        expected = reference(f'final_img{image}_cost_{OFFICIAL_NAMES[name]}_unweighted')
        mini.assert_near(cost, expected, 1e-6)


def test_giou_is_the_authors_also_for_boxes_without_area():
    giou = generalized_box_iou(reference('giou_a')[:, None], reference('giou_b'))
    torch.testing.assert_close(giou, reference('giou_out'), rtol=0, atol=1e-6)


def test_stuff_is_matched_without_its_box(matcher):
    one_image = [part[0] for part in prediction('final')]
    target = replace(runs.targets()[0], boxed=torch.tensor([True, False, True]))
    costs = matcher.costs(*one_image, target)
    for name in ('bbox', 'iou'):
        assert costs[name][:, 1].eq(0).all()
        assert costs[name][:, [0, 2]].ne(0).all()


def test_images_without_objects_match_nothing(matcher):
    for query, segment in matcher(*prediction('final'), runs.run_targets('empty2')):
        assert len(query) == len(segment) == 0
