"""Each format there and back: what it can hold comes back as it was."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
from coco_files import annotation, awkward, coco_files, objects, there_and_back
from hostile_strings import HOSTILE, HOSTILE_NAMES
from hypothesis import HealthCheck, given, settings

from mal_mm.convert import FORMATS
from mal_mm.convert.findings import Findings
from mal_mm.convert.objects import pictures
from mal_mm.formats.polygons import rle_iou

pytestmark = pytest.mark.slow
WRITTEN = [name for name, form in FORMATS.items() if form.write]
KEEPS_ALL = ['coco', 'labelme', 'cvat', 'label-studio', 'datumaro', 'fiftyone']


@pytest.mark.parametrize('name', KEEPS_ALL)
@pytest.mark.parametrize('shapes', ['masks', 'polygons'])
def test_masks_boxes_names_ids_and_our_fields_come_back(name, shapes, tmp_path):
    data = awkward()
    back, there, found = there_and_back(data, name, tmp_path, shapes=shapes)
    assert objects(back) == objects(awkward())
    assert {a['id'] for a in back['annotations']} == {5, 'x y', 1, -4, 12}
    known = {a['id']: a for a in back['annotations']}
    assert known[5]['mal_quality'] == 0.75 and known['x y']['mal_flag'] == 'low_quality'
    assert known[12]['iscrowd'] == 1 and known[1]['attributes'] == {'colour': 'grün'}
    used = 2 if name == 'cvat' else 3  # ids of images go along with their objects there
    assert [i['id'] for i in back['images']][:used] == [7, 'b', 2**40][:used] or name == 'labelme'
    assert not there.lost and not found.lost
    # up to a quarter of a pixel, polygons lose nothing
    assert all(iou == 1 for iou, _ in there.polygon_ious)


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(coco_files())
def test_random_files_come_back_from_every_format_that_keeps_masks(data):
    for name in KEEPS_ALL:
        with tempfile.TemporaryDirectory() as folder:
            back, there, found = there_and_back(data, name, Path(folder))
            assert objects(back) == objects(data), name
            kept = [(a['id'], a.get('mal_quality')) for a in data['annotations']]
            assert sorted(map(str, kept)) == sorted(
                str((a['id'], a.get('mal_quality'))) for a in back['annotations']
            ), name
            assert not there.lost and not found.lost, name


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(coco_files())
def test_random_masks_become_one_yolo_ring_that_draws_the_same(data):
    with tempfile.TemporaryDirectory() as folder:
        back, there, found = there_and_back(data, 'yolo-seg', Path(folder))
    assert not there.lost and not found.lost
    ours, theirs = objects(data), objects(back)
    assert ours.keys() == theirs.keys()
    for name, things in ours.items():
        for (label, rle, _), (their_label, their_rle, _) in zip(things, theirs[name], strict=True):
            assert their_label == label and rle_iou(rle, their_rle) > 0.98


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(coco_files())
def test_random_files_of_one_object_an_image_come_back_from_the_others(data):
    first = {a['image_id']: a for a in reversed(data['annotations'])}
    data['annotations'] = [a for a in data['annotations'] if first[a['image_id']] is a]
    ours = objects(data)
    for name in ('voc', 'youtube-vis', 'yolo'):
        with tempfile.TemporaryDirectory() as folder:
            back, there, found = there_and_back(data, name, Path(folder))
        theirs = objects(back)
        assert theirs.keys() == ours.keys() and not there.lost and not found.lost, name
        for key, things in ours.items():
            assert [t[0] for t in theirs[key]] == [t[0] for t in things], name
            assert [t[2] for t in theirs[key]] == [pytest.approx(t[2]) for t in things], name
            if name != 'yolo':
                assert [t[1] for t in theirs[key]] == [t[1] for t in things], name


def test_every_format_that_is_written_says_what_it_loses(tmp_path):
    lost = {}
    for name in WRITTEN:
        (tmp_path / name).mkdir()
        _, there, _ = there_and_back(awkward(), name, tmp_path / name)
        lost[name] = {what: len(where) for what, where in there.lost.items()}
    crowd = {'crowd region, which the format does not have': 1}
    assert lost == {
        **{each: {} for each in KEEPS_ALL},
        'yolo': crowd,
        'yolo-seg': crowd,
        'voc': {},
        'youtube-vis': {},
    }


def test_voc_masks_come_back_where_they_do_not_overlap(tmp_path):
    back, _, found = there_and_back(awkward(), 'voc', tmp_path)
    assert objects(back) == objects(awkward()) and not found.lost


def test_overlapping_masks_in_voc_are_counted_in_pixels(tmp_path):
    data = awkward()
    data['annotations'][1]['segmentation'] = data['annotations'][0]['segmentation']
    back, there, _ = there_and_back(data, 'voc', tmp_path)
    ((what, where),) = there.lost.items()
    assert 'another mask has too' in what and where == ['annotation 5: 108 of 108 pixels']
    assert len(back['annotations']) == 5  # its box is there


def test_a_track_of_a_video_comes_back_frame_by_frame(tmp_path):
    data = awkward()
    for number, image in enumerate(data['images']):
        image.update(video_id=1, frame_id=number, width=30, height=20)
    data['annotations'] = data['annotations'][:2]
    for a in data['annotations']:
        a.update(track_id=9, category_id=3)
    data['annotations'][1]['image_id'] = 'b'
    back, there, found = there_and_back(data, 'youtube-vis', tmp_path)
    assert [(a['track_id'], a['image_id']) for a in back['annotations']] == [(9, 1), (9, 2)]
    assert objects(back) == objects(data) and not there.lost and not found.lost


def test_pictures_of_one_stem_are_not_written_over_each_other(tmp_path):
    data = awkward()
    data['images'][0]['file_name'], data['images'][1]['file_name'] = 'a.png', 'A.JPG'
    for name in ('yolo-seg', 'voc', 'labelme'):
        (tmp_path / name).mkdir()
        back, there, _ = there_and_back(data, name, tmp_path / name)
        assert any('endings alone' in what for what in there.lost), name
        assert len([p for p in pictures(back, Findings()) if p.things]) == 1


def test_two_images_that_differ_in_their_endings_stay_two_in_datumaro(tmp_path):
    data = awkward()
    data['images'][0]['file_name'], data['images'][1]['file_name'] = 'a.png', 'a.jpg'
    back, there, _ = there_and_back(data, 'datumaro', tmp_path)
    assert objects(back) == objects(data) and not there.lost


@pytest.mark.parametrize('name', WRITTEN)
def test_hostile_names_come_back_or_are_listed(name, tmp_path):
    mask = np.ones((4, 5), bool)
    data = dict(images=[], annotations=[], categories=[])
    for number, text in enumerate(HOSTILE, start=1):
        data['categories'].append(dict(id=number, name=text))
        is_name = text in HOSTILE_NAMES and '\\' not in text  # which parts folders, see below
        file_name = f'{number}/{text}.png' if is_name else f'{number}.png'
        data['images'].append(dict(id=number, file_name=file_name, width=5, height=4))
        data['annotations'].append(annotation(number, number, mask, number))
    back, there, found = there_and_back(data, name, tmp_path)
    lost = sum(map(len, there.lost.values())) + sum(map(len, found.lost.values()))
    assert len(back['annotations']) >= len(HOSTILE) - lost
    names = {i['file_name'].removeprefix('images/') for i in back['images']}
    wanted = {i['file_name'] for i in data['images']}
    assert len(wanted - names) <= lost and not names - wanted
    labels = {c['name'] for c in back['categories']}
    used = {text for text in HOSTILE if text in labels}
    assert len(HOSTILE) - len(used) <= lost
    assert lost <= {'voc': 1, 'cvat': 1, 'yolo': 1, 'yolo-seg': 1}.get(name, 0)
    assert not Path('PWNED').exists()


def test_backslashes_in_file_names_part_folders_and_are_said(tmp_path):
    data = awkward()
    data['images'][0]['file_name'] = 'süd\\b.png'
    back, there, _ = there_and_back(data, 'datumaro', tmp_path)
    assert back['images'][0]['file_name'] == 'süd/b.png'
    assert any('backslash' in what for what in there.noted)


def test_a_coco_file_is_written_with_masks_in_one_form(tmp_path):
    back, there, _ = there_and_back(awkward(), 'coco', tmp_path, shapes='polygons')
    kinds = [type(a['segmentation']) for a in back['annotations']]
    assert kinds == [list] * 4 + [dict]  # COCO has crowds as RLE
    assert len(there.polygon_ious) == 4 and objects(back) == objects(awkward())
    again, _, _ = there_and_back(back, 'coco', tmp_path, shapes='masks')
    assert again['annotations'] == awkward()['annotations']
