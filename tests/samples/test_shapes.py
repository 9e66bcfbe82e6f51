import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as coco_mask

from mal_mm.samples import make_shapes
from mal_mm.samples.coco_writer import box_of_mask
from mal_mm.samples.outlines import FAMILIES, draw_outline
from mal_mm.samples.shapes import CATEGORIES, MIN_VISIBLE_PIXELS, draw_scene
from mal_mm.samples.textures import PATTERNS

TOOL = Path(__file__).resolve().parents[2] / 'tools' / 'make_sample_dataset.py'
SMALL = {'num_images': 3, 'num_unseen': 2, 'size': 96, 'seed': 3}


def files_of(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob('*') if p.is_file()}


def shapes_command(*args, cwd):
    command = [sys.executable, str(TOOL), 'shapes', 'out', *args]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True)


@pytest.fixture(scope='module')
def out(tmp_path_factory):
    folder = tmp_path_factory.mktemp('shapes')
    make_shapes(folder, **SMALL)
    return folder


def test_command_line_writes_the_same_bytes_as_the_function(out, tmp_path):
    options = ['--num-images', '3', '--num-unseen', '2', '--size', '96', '--seed', '3']
    done = shapes_command(*options, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert 'train: 3 images' in done.stdout
    assert 'unseen: 2 images' in done.stdout
    assert set(files_of(out)) == {
        *(f'train/00000{k}.png' for k in range(3)),
        *(f'unseen/00000{k}.png' for k in range(2)),
        *(f'{name}.json' for name in ('train', 'train_gt', 'unseen', 'unseen_gt')),
    }
    assert files_of(tmp_path / 'out') == files_of(out)


def test_larger_set_begins_with_the_smaller_one(out, tmp_path):
    make_shapes(tmp_path, **{**SMALL, 'num_images': 5, 'num_unseen': 0})
    larger, smaller = files_of(tmp_path), files_of(out)
    for k in range(3):
        assert larger[f'train/00000{k}.png'] == smaller[f'train/00000{k}.png']
    first, second = (json.loads(files['train_gt.json']) for files in (smaller, larger))
    for key in ('images', 'annotations'):
        assert second[key][: len(first[key])] == first[key]
    assert json.loads(larger['unseen.json'])['images'] == []


def test_seeds_and_splits_give_different_images():
    images = [
        draw_scene(64, seed, split, index)[0].tobytes()
        for seed in (0, 1)
        for split in ('train', 'unseen')
        for index in (0, 1)
    ]
    assert len(set(images)) == 8


def test_jpeg_changes_the_images_only(out, tmp_path):
    make_shapes(tmp_path, **SMALL, jpeg=True)
    drawn, _ = draw_scene(96, 3, 'train', 0)
    image = cv2.imread(str(tmp_path / 'train' / '000000.jpg'))[..., ::-1]
    assert np.abs(image.astype(int) - drawn).mean() < 8
    as_png, as_jpeg = (json.loads((d / 'train_gt.json').read_text()) for d in (out, tmp_path))
    assert as_png['annotations'] == as_jpeg['annotations']
    assert as_jpeg['images'][0]['file_name'] == 'train/000000.jpg'


@pytest.mark.parametrize('split', ['train', 'unseen'])
def test_files_hold_the_drawn_scenes(out, split):
    boxed = json.loads((out / f'{split}.json').read_text())
    masked = json.loads((out / f'{split}_gt.json').read_text())
    assert masked['info']['seed'] == 3
    assert [c['name'] for c in masked['categories']] == list(CATEGORIES)
    assert boxed['images'] == masked['images']
    for index, entry in enumerate(masked['images']):
        image, instances = draw_scene(96, 3, split, index)
        written = cv2.imread(str(out / entry['file_name']))[..., ::-1]
        np.testing.assert_array_equal(written, image)
        found = [a for a in masked['annotations'] if a['image_id'] == entry['id']]
        for annotation, (category_id, mask) in zip(found, instances, strict=True):
            np.testing.assert_array_equal(coco_mask.decode(annotation['segmentation']), mask)
            assert annotation['category_id'] == category_id
            assert annotation['bbox'] == box_of_mask(mask)
            assert annotation['area'] == mask.sum()
    for box, mask in zip(boxed['annotations'], masked['annotations'], strict=True):
        assert 'segmentation' not in box
        assert box['area'] == box['bbox'][2] * box['bbox'][3]
        assert (box['id'], box['bbox']) == (mask['id'], mask['bbox'])


def test_objects_hide_each_other_but_every_one_stays_visible():
    scenes = [draw_scene(256, 0, 'train', index)[1] for index in range(25)]
    overlapping_boxes = 0
    for instances in scenes:
        masks = np.array([mask for _, mask in instances])
        assert masks.sum(axis=0).max() == 1
        assert masks.sum(axis=(1, 2)).min() >= MIN_VISIBLE_PIXELS
        covered = np.zeros((256, 256), int)
        for mask in masks:
            x, y, w, h = box_of_mask(mask)
            covered[y : y + h, x : x + w] += 1
        overlapping_boxes += covered.max() > 1
    assert overlapping_boxes > 5
    boxes = np.array([box_of_mask(mask) for instances in scenes for _, mask in instances])
    areas = boxes[:, 2] * boxes[:, 3]
    assert (areas < 32**2).sum() > 10
    assert (areas >= 96**2).sum() > 5
    assert {category for instances in scenes for category, _ in instances} == {1, 2, 3, 4, 5}


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    size=st.integers(64, 160),
    index=st.integers(0, 10**6),
)
def test_no_scene_is_empty(seed, size, index):
    image, instances = draw_scene(size, seed, 'train', index)
    assert image.shape == (size, size, 3)
    assert image.dtype == np.uint8
    assert instances
    assert all(mask.sum() >= MIN_VISIBLE_PIXELS for _, mask in instances)


@settings(max_examples=60, deadline=None)
@given(
    family=st.sampled_from(sorted(FAMILIES)),
    side=st.floats(14, 200),
    seed=st.integers(0, 2**32),
)
def test_outline_has_the_wanted_longer_side(family, side, seed):
    cover = draw_outline(np.random.default_rng(seed), family, side)
    assert cover.min() == 0
    assert cover.max() <= 1
    assert not cover[0].any()
    assert not cover[-1].any()
    _, _, width, height = box_of_mask(cover > 0)
    assert side - 0.5 <= max(width, height) <= side + 2.5


def test_ring_shows_what_lies_in_its_hole():
    for seed in range(10):
        cover = draw_outline(np.random.default_rng(seed), 'ring', 60)
        height, width = cover.shape
        assert cover[height // 2, width // 2] == 0


@pytest.mark.parametrize('pattern', PATTERNS)
@pytest.mark.parametrize('shape', [(8, 8), (30, 200)])
def test_patterns_stay_within_zero_and_one_and_vary(pattern, shape):
    values = pattern(np.random.default_rng(0), *shape)
    assert values.shape == shape
    assert values.min() >= 0
    assert values.max() <= 1
    assert np.ptp(values) > 0.3


@pytest.mark.parametrize(
    'wrong',
    [{'num_images': 0}, {'num_unseen': -1}, {'size': 63}, {'size': 4097}, {'seed': -1}],
)
def test_values_out_of_range_are_named_and_nothing_is_written(wrong, tmp_path):
    ((name, value),) = wrong.items()
    with pytest.raises(ValueError, match=rf'`{name}` must be between .*, got {value}'):
        make_shapes(tmp_path / 'out', **wrong)
    assert not (tmp_path / 'out').exists()


def test_command_line_explains_a_wrong_value(tmp_path):
    done = shapes_command('--size', '10', cwd=tmp_path)
    assert done.returncode == 1
    assert '`size` must be between 64 and 4096, got 10' in done.stderr


def test_command_line_explains_an_output_folder_that_is_a_file(tmp_path):
    (tmp_path / 'out').write_text('in the way')
    done = shapes_command('--num-images', '1', cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith('make_sample_dataset: ')
    assert 'Traceback' not in done.stderr
