import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from sharp_labeler import sharp_model

from mal_mm.formats import AnnotationError
from mal_mm.labeling import LabelingEngine
from mal_mm.reproduce.clustering_score import (
    BACKGROUND,
    FOREGROUND,
    IGNORED,
    cell_labels,
    clustering_score,
    score_file,
)
from mal_mm.samples import make_shapes


def row(*vectors):
    """Vectors, one a cell, as features (1, C, 1, cells)."""
    return torch.tensor(vectors, dtype=torch.float32).T[None, :, None]


def labels(*values):
    return torch.tensor(values)[None, None]


def test_tight_clusters_score_zero_however_far_apart():
    features = row((2, 0), (2, 0), (0, 3), (0, 3))
    assert clustering_score(features, labels(1, 1, 0, 0)).item() == 0
    assert clustering_score(torch.ones(1, 5, 1, 4), labels(1, 0, 0, 0)).item() == pytest.approx(0)


def test_two_orthogonal_unit_vectors_in_one_cluster_by_hand():
    # centre (1, 1) / 2; the angle to it is 45 degrees: |d|^2 = 2 - 2 cos 45 for both of the three
    # cells, and 0 for the background
    features = row((1, 0), (0, 1), (1, 1))
    expected = 2 * (2 - math.sqrt(2)) / 3
    assert clustering_score(features, labels(1, 1, 0)).item() == pytest.approx(expected)


def test_the_centre_is_the_mean_of_features_not_of_directions():
    # centre (3, 1) / 2: cosines 3 / sqrt(10) and 1 / sqrt(10)
    features = row((3, 0), (0, 1), (1, 1))
    expected = ((2 - 6 / math.sqrt(10)) + (2 - 2 / math.sqrt(10))) / 3
    assert clustering_score(features, labels(0, 0, 1)).item() == pytest.approx(expected)


def test_ignored_cells_count_for_nothing():
    inside = row((1, 0), (0, 1), (1, 1))
    wider = row((1, 0), (0, 1), (1, 1), (-5, 9))
    torch.testing.assert_close(
        clustering_score(wider, labels(1, 1, 0, IGNORED)),
        clustering_score(inside, labels(1, 1, 0)),
    )


def test_a_crop_without_one_of_the_classes_has_no_score():
    features = torch.cat([row((1, 0), (0, 1))] * 3)
    each = torch.tensor([[[1, 1]], [[0, IGNORED]], [[1, 0]]])
    scores = clustering_score(features, each)
    assert scores.isnan().tolist() == [True, True, False]


def test_each_crop_has_centres_of_its_own():
    features = torch.cat([row((1, 0), (0, 1)), row((0, 1), (1, 0))])
    assert clustering_score(features, labels(1, 0).repeat(2, 1, 1)).tolist() == [0, 0]


def slow_score(features, each):
    """Eq. (6), cell by cell."""
    cells = [
        (features[:, y, x].double().numpy(), each[y, x].item())
        for y in range(each.shape[0])
        for x in range(each.shape[1])
        if each[y, x] != IGNORED
    ]
    total = 0.0
    for f, label in cells:
        centre = np.mean([g for g, other in cells if other == label], axis=0)
        total += np.sum((f / np.linalg.norm(f) - centre / np.linalg.norm(centre)) ** 2)
    return total / len(cells)


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 10_000), scale=st.floats(1e-3, 1e3))
def test_the_score_is_equation_6_in_range_and_blind_to_scale(seed, scale):
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(2, 4, 3, 5, generator=generator)
    each = torch.randint(-1, 2, (2, 3, 5), generator=generator)
    each[:, 0, :2] = torch.tensor([FOREGROUND, BACKGROUND])
    scores = clustering_score(features, each)
    assert ((scores >= 0) & (scores <= 4)).all()
    for score, f, c in zip(scores, features, each, strict=True):
        assert score.item() == pytest.approx(slow_score(f, c), abs=1e-5)
    torch.testing.assert_close(clustering_score(features * scale, each), scores)


def test_labels_of_another_shape_are_refused():
    with pytest.raises(ValueError, match=r'`labels` must be \(1, 2, 2\) .* got \(1, 2, 3\)'):
        clustering_score(torch.zeros(1, 4, 2, 2), torch.zeros(1, 2, 3))


# -- cells ----------------------------------------------------------------------------------------


def test_a_cell_is_foreground_when_more_than_half_of_it_is():
    mask = np.zeros((4, 4), dtype=bool)
    mask[:2, :2] = True  # the whole first cell
    mask[0, 2:] = True  # exactly half of the second
    mask[2:, 0] = mask[2, 1] = True  # three quarters of the third
    cells = cell_labels(mask, np.array([0, 0, 4, 4]), (2, 2))
    assert cells.tolist() == [[1, 0], [1, 0]]


def test_cells_mostly_outside_the_image_are_ignored():
    mask = np.ones((4, 6), dtype=bool)
    # 8 x 8 window, cells of 2 x 2: three columns and two rows of them lie in the image
    cells = cell_labels(mask, np.array([-2, -4, 6, 4]), (4, 4))
    assert cells.tolist() == [[-1] * 4, [-1] * 4, [-1, 1, 1, 1], [-1, 1, 1, 1]]


def test_cells_that_the_image_covers_by_half_count():
    mask = np.zeros((4, 4), dtype=bool)
    assert cell_labels(mask, np.array([-1, 0, 3, 4]), (2, 2)).tolist() == [[0, 0], [0, 0]]
    assert cell_labels(mask, np.array([-3, 0, 5, 4]), (1, 2)).tolist() == [[-1, 0]]


def test_windows_smaller_than_the_map_still_label_every_cell():
    mask = np.zeros((9, 9), dtype=bool)
    mask[:, 4:] = True
    assert cell_labels(mask, np.array([3, 3, 5, 5]), (4, 4)).tolist() == [[0, 0, 1, 1]] * 4


# -- files ----------------------------------------------------------------------------------------


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp('shapes')
    make_shapes(root, num_images=2, num_unseen=0, size=96)
    return root


@pytest.fixture
def data(folder):
    return json.loads((folder / 'train_gt.json').read_text())


@pytest.fixture(scope='module')
def engine():
    return LabelingEngine(sharp_model(), crop_size=64, batch_size=3)


def test_the_score_of_a_file_is_the_mean_over_its_crops(folder, data, engine):
    result = score_file(engine, data, folder)
    assert result['left_out'] == []
    assert result['scored'] + result['one_class'] == len(data['annotations'])
    assert result['crop_size'] == 64

    alone = []
    for annotation in data['annotations']:
        try:
            one = score_file(engine, {**data, 'annotations': [annotation]}, folder)
        except AnnotationError:
            continue
        assert one['standard_error'] is None
        alone.append(one['clustering_score'])
    assert result['clustering_score'] == pytest.approx(np.mean(alone), abs=1e-6)
    assert result['standard_error'] == pytest.approx(
        np.std(alone, ddof=1) / len(alone) ** 0.5, abs=1e-6
    )
    assert 0 < result['clustering_score'] <= 4


def test_instances_are_taken_evenly_over_the_file(folder, data, engine):
    result = score_file(engine, data, folder, max_instances=2)
    ends = [data['annotations'][0], data['annotations'][-1]]
    assert result == score_file(engine, {**data, 'annotations': ends}, folder)
    with pytest.raises(ValueError, match='`max_instances` must be at least 1, got 0'):
        score_file(engine, data, folder, max_instances=0)


def test_what_cannot_be_scored_is_left_out_with_its_reason(folder, data, engine):
    whole = score_file(engine, data, folder)
    first, second = data['annotations'][:2]
    extra = [
        {**first, 'id': 901, 'segmentation': []},
        {**first, 'id': 902, 'bbox': [1, 1, 0, 5]},
        {**first, 'id': 903, 'image_id': 77},
        {**second, 'id': 904, 'iscrowd': 1},
    ]
    data['images'].append(dict(id=77, file_name='train/gone.png', width=96, height=96))
    data['annotations'] += extra
    result = score_file(engine, data, folder)
    reasons = {item['annotation_id']: item['reason'] for item in result.pop('left_out')}
    assert reasons.keys() == {901, 902, 903}
    assert 'has no mask' in reasons[901]
    assert 'zero width' in reasons[902]
    assert 'gone.png' in reasons[903]
    whole.pop('left_out')
    assert result == pytest.approx(whole)


def test_a_picture_of_another_size_than_its_mask_is_left_out(folder, data, engine, tmp_path):
    Image.new('RGB', (50, 40)).save(tmp_path / 'small.png')
    data['images'] = [{**image, 'file_name': 'small.png'} for image in data['images']]
    with pytest.raises(AnnotationError, match=r'the mask is 96 x 96 .*, the picture 40 x 50'):
        score_file(engine, data, tmp_path)


def test_a_file_without_masks_is_refused(folder, data, engine):
    for annotation in data['annotations']:
        del annotation['segmentation']
    with pytest.raises(AnnotationError, match=r'gt\.json: no crop with both .*: has no mask'):
        score_file(engine, data, folder, 'gt.json')
