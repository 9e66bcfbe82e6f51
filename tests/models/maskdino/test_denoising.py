"""Denoising queries against the authors' numbers, and their attention by hand."""

from __future__ import annotations

import maskdino_mini as mini
import maskdino_runs as runs
import pytest
import torch

from mal_mm.models.maskdino import QueryDenoising, SegmentTargets
from mal_mm.models.maskdino.denoising import denoising_attn_mask


@pytest.mark.parametrize('tag', ['bitmask', 'empty1', 'sem'])
def test_queries_are_the_authors(tag):
    def reference(name):
        return mini.tensor('criterion', f'{tag}_dn_{name}')

    targets = runs.run_targets(tag)
    queries = QueryDenoising(5, 20, dn_num=10)(targets, runs.noise(tag))
    assert queries.num_groups == reference('scalar')
    assert queries.num_slots == reference('pad_size')
    assert queries.slot.equal(reference('map_known_indice'))
    assert queries.image_index.equal(reference('batch_idx'))
    assert queries.attn_mask.equal(reference('attn_mask').bool())
    mini.assert_near(queries.boxes_unsig, reference('query_bbox_unsig'))
    real = queries.labels[queries.image_index, queries.slot]
    assert real.equal(reference('known_labels_noised'))
    assert (queries.labels >= 0).sum() == len(real)
    clean = SegmentTargets.cat(targets).labels.repeat(queries.num_groups)
    assert clean.equal(reference('known_labels'))


def test_without_noise_queries_are_the_clean_targets():
    targets = runs.run_targets('bitmask')
    queries = QueryDenoising(5, 20, dn_num=7, noise_scale=0.0)(targets)
    assert queries.num_groups == 2  # of 3 slots each
    for image, target in enumerate(targets):
        for first_slot in (0, 3):
            slots = slice(first_slot, first_slot + len(target))
            assert queries.labels[image, slots].equal(target.labels)
            boxes = queries.boxes_unsig[image, slots].sigmoid()
            torch.testing.assert_close(boxes, target.boxes, rtol=0, atol=1e-5)


@pytest.mark.parametrize('tag', ['empty2', 'many'])
def test_denoising_is_off_without_objects_and_with_more_than_dn_num(tag):
    queries = QueryDenoising(5, 20, dn_num=10)(runs.run_targets(tag))
    assert queries.num_groups == queries.num_slots == len(queries.slot) == 0
    assert queries.labels.shape == (2, 0)
    assert not queries.attn_mask.any()


def test_groups_see_themselves_and_the_matching_queries_only():
    expected = [
        [0, 1, 0, 0],  # group 0
        [1, 0, 0, 0],  # group 1
        [1, 1, 0, 0],  # matching queries
        [1, 1, 0, 0],
    ]
    assert denoising_attn_mask(2, 1, 2).int().tolist() == expected


def test_noise_beyond_the_whole_box_is_refused():
    with pytest.raises(ValueError, match=r'noise_scale.*1\.5'):
        QueryDenoising(5, 20, noise_scale=1.5)
