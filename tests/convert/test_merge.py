"""Corrections come home: what people changed or confirmed is taken over, nothing else."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path

import numpy as np
import pytest
from coco_files import annotation, objects, rle_of, write_images

from mal_mm.convert import Findings, ReadOptions, WriteOptions, find_format
from mal_mm.convert.merge import as_exported, merge_corrections
from mal_mm.labeling.plan import Selection, make_plan

pytestmark = pytest.mark.slow
TOOLS = ['cvat', 'label-studio', 'labelme', 'datumaro', 'fiftyone']


def square(x: int, y: int, side: int = 10) -> np.ndarray:
    mask = np.zeros((40, 60), bool)
    mask[y : y + side, x : x + side] = True
    return mask


def labelled() -> dict:
    """Two images with masks of a labeler, ids of any kind."""
    machine = dict(mal_quality=0.5)
    return dict(
        mal_mm={'config': 'x'},
        images=[
            dict(id='one', file_name='a/1.png', width=60, height=40),
            dict(id=2, file_name='2.png', width=60, height=40),
        ],
        annotations=[
            annotation(11, 'one', square(2, 2), 1, **machine),
            annotation('n', 'one', square(20, 2), 1, mal_flag='low_quality', ignore=1, **machine),
            annotation(13, 'one', square(40, 20), 2, note='kept', **machine),
            annotation(14, 2, square(5, 5), 2, **machine),
        ],
        categories=[dict(id=1, name='cat'), dict(id=2, name='dog')],
    )


def through(name: str, data: dict, folder: Path, shapes: str | None = None) -> dict:
    """The file, sent to a tool and read again."""
    ending = {'cvat': '.xml', 'label-studio': '.json'}.get(name, '')
    out = folder / f'sent{ending}'
    find_format(name).writer()(data, out, WriteOptions(shapes=shapes), Findings())
    return out


def merged(name: str, out: Path, **options):
    findings = Findings()
    corrected = find_format(name).reader()(out, ReadOptions(), findings)
    base = labelled()
    sent = as_exported(base, name, WriteOptions(shapes=options.pop('shapes', None)))
    data, counts = merge_corrections(corrected, base, sent, findings, **options)
    return {a['id']: a for a in data['annotations']}, counts, findings, data


@pytest.mark.parametrize('shapes', ['masks', 'polygons'])
@pytest.mark.parametrize('name', TOOLS)
def test_a_file_that_nobody_touched_changes_nothing(name, shapes, tmp_path):
    out = through(name, labelled(), tmp_path, shapes)
    _, counts, findings, data = merged(name, out, shapes=shapes)
    assert data == labelled() and counts.untouched == 4 and not findings.lost


@pytest.mark.parametrize('name', TOOLS)
def test_a_changed_mask_a_changed_class_and_a_new_object_are_taken_over(name, tmp_path):
    people = copy.deepcopy(labelled())
    people['annotations'][0].update(segmentation=rle_of(square(3, 4)), bbox=[3, 4, 10, 10])
    people['annotations'][1]['category_id'] = 2
    people['annotations'].append(annotation(99, 2, square(30, 20), 1))
    out = through(name, people, tmp_path)
    if name in ('cvat', 'fiftyone', 'labelme', 'datumaro'):
        forget_id(out, 99)
    found, counts, findings, data = merged(name, out)
    assert (counts.changed, counts.added, counts.untouched) == (2, 1, 2) and not findings.lost
    moved = found[11]
    assert moved['bbox'] == [3, 4, 10, 10] and moved['area'] == 100
    assert moved['mal_human'] == 1 and 'mal_quality' not in moved
    assert objects(data)['a/1.png'][0][1] == rle_of(square(3, 4))
    other = found['n']
    assert other['category_id'] == 2 and other['segmentation'] == rle_of(square(20, 2))
    # another class says nothing about the mask
    assert 'mal_human' not in other and other['mal_quality'] == 0.5
    assert found[13] == labelled()['annotations'][2]
    new = next(a for a in found.values() if a['id'] not in (11, 'n', 13, 14))
    assert new['mal_human'] == 1 and new['image_id'] == 2 and new['bbox'] == [30, 20, 10, 10]


def forget_id(out: Path, number: int) -> None:
    """As if the object had been drawn in the tool, which knows nothing of our ids."""
    for path in [out] if out.is_file() else [*out.rglob('*.json')]:
        text = path.read_text('utf-8')
        text = re.sub(rf'"mal_id":\s*"{number}"', '"x": 0', text)
        path.write_text(text.replace(f'<attribute name="mal_id">{number}</attribute>', ''))


def test_what_people_ticked_is_confirmed_with_its_mask(tmp_path):
    out = through('cvat', labelled(), tmp_path)
    first, second = '<attribute name="mal_confirmed">', '</attribute>'
    text = out.read_text('utf-8').replace(f'{first}false{second}', f'{first}true{second}', 1)
    out.write_text(text)
    found, counts, _, _ = merged('cvat', out)
    assert counts.confirmed == 1 and counts.changed == 0
    assert found[11]['mal_human'] == 1 and 'mal_quality' not in found[11]
    assert found[11]['segmentation'] == labelled()['annotations'][0]['segmentation']
    assert [a for a in found.values() if a.get('mal_human')] == [found[11]]


def test_the_marks_that_a_labeler_left_go_with_its_quality(tmp_path):
    found, *_ = merged('cvat', through('cvat', labelled(), tmp_path), confirmed='all')
    assert all(a['mal_human'] == 1 for a in found.values())
    assert not {'ignore', 'mal_flag', 'mal_quality'} & set(found['n'])


def test_a_corrected_box_loses_its_mask_so_that_a_later_run_draws_another(tmp_path):
    people = labelled()
    people['annotations'][0]['bbox'] = [3, 2, 14, 10]
    people['annotations'][3]['bbox'] = [4.7, 5, 10, 10.2]  # rounding
    out = tmp_path / 'boxes'
    find_format('yolo').writer()(people, out, WriteOptions(), Findings())
    write_images(people, out / 'images')
    found, counts, findings, data = merged('yolo', out)
    assert counts.changed == 1 and counts.untouched == 2  # and one that is marked `ignore`
    assert found[11]['bbox'] == [3, 2, 14, 10]
    assert not {'segmentation', 'area', 'mal_quality', 'mal_human'} & set(found[11])
    assert found[13] == labelled()['annotations'][2] and not findings.lost
    plan = make_plan(data, data['annotations'], selection=Selection(only_missing=True))
    assert [data['annotations'][place]['id'] for place in plan.places.tolist()] == [11]


def test_tasks_that_people_submitted_in_label_studio_are_confirmed_whole(tmp_path):
    out = through('label-studio', labelled(), tmp_path)
    tasks = json.loads(out.read_text('utf-8'))
    tasks[0]['annotations'] = [{'result': tasks[0]['predictions'][0]['result']}]
    out.write_text(json.dumps(tasks))
    found, counts, _, _ = merged('label-studio', out)
    assert counts.confirmed == 3
    assert {n for n, a in found.items() if a.get('mal_human')} == {11, 'n', 13}


@pytest.mark.parametrize(
    ('confirmed', 'marked'),
    [('changed', {11}), ('images', {11, 'n', 13}), ('all', {11, 'n', 13, 14})],
)
def test_who_counts_as_looked_at_is_a_choice(confirmed, marked, tmp_path):
    people = labelled()
    people['annotations'][0].update(segmentation=rle_of(square(3, 4)))
    found, *_ = merged('cvat', through('cvat', people, tmp_path), confirmed=confirmed)
    assert {n for n, a in found.items() if a.get('mal_human')} == marked


def test_objects_that_are_gone_are_kept_and_listed_or_removed(tmp_path):
    people = labelled()
    del people['annotations'][2]
    out = through('labelme', people, tmp_path)
    found, _, findings, _ = merged('labelme', out)
    assert 13 in found
    assert findings.lost == {
        'gone from the corrected file, kept (--deleted remove)': ['annotation 13']
    }
    found, counts, findings, _ = merged('labelme', out, deleted='remove')
    assert 13 not in found and counts.removed == 1 and not findings.lost


def test_without_ids_objects_are_matched_by_overlap_and_images_by_the_end_of_their_names():
    corrected = dict(
        images=[
            dict(id=1, file_name='1.png', width=60, height=40),
            dict(id=2, file_name='3.png', width=60, height=40),
        ],
        annotations=[
            # numbers of the tool, which are those of other objects of ours
            annotation(13, 1, square(2, 3), 1),
            annotation(11, 1, square(40, 20), 2),
            annotation(7, 1, square(20, 2), 1),
        ],
        categories=[dict(id=1, name='cat'), dict(id=2, name='dog')],
    )
    findings = Findings()
    data, counts = merge_corrections(corrected, labelled(), None, findings)
    assert counts.by_overlap == 3 and counts.changed == 1 and counts.added == 0
    found = {a['id']: a for a in data['annotations']}
    assert objects(data)['a/1.png'][0][1] == rle_of(square(2, 3)) and found[11]['mal_human'] == 1
    assert found[13] == labelled()['annotations'][2]
    assert findings.lost == {'image that is not in the labelled file': ['3.png']}


def test_an_object_that_people_copied_is_a_new_one(tmp_path):
    out = through('cvat', labelled(), tmp_path)
    text = out.read_text('utf-8')
    start, end = text.index('<mask'), text.index('</mask>') + len('</mask>')
    copied = text[start:end].replace('left="2"', 'left="12"').replace('group_id="1"', '')
    out.write_text(text[:end] + copied + text[end:])
    found, counts, findings, _ = merged('cvat', out)
    assert counts.added == 1 and counts.changed == 0 and len(found) == 5
    assert any('id given twice' in what for what in findings.noted)


@pytest.mark.parametrize('only_missing', [True, False])
def test_a_later_run_never_draws_a_humans_mask_again(only_missing, tmp_path):
    people = labelled()
    people['annotations'][0].update(segmentation=rle_of(square(3, 4)))
    del people['annotations'][3]['segmentation']
    found, _, _, data = merged('cvat', through('cvat', people, tmp_path))
    del found[14]['segmentation']
    plan = make_plan(data, data['annotations'], selection=Selection(only_missing))
    drawn = {data['annotations'][place]['id'] for place in plan.places.tolist()}
    assert drawn == ({14} if only_missing else {'n', 13, 14})
    assert plan.passed == 4 - len(drawn)


def test_a_small_correction_of_a_large_mask_is_one(tmp_path):
    large = np.zeros((600, 800), bool)
    large[20:580, 20:780] = True
    data = dict(
        images=[dict(id=1, file_name='1.png', width=800, height=600)],
        annotations=[annotation(1, 1, large, 1, mal_quality=0.5)],
        categories=[dict(id=1, name='cat')],
    )
    people = copy.deepcopy(data)
    large[580:590, 100:110] = True  # 0.02 % of it
    people['annotations'] = [annotation(1, 1, large, 1)]
    merged_data, counts = merge_corrections(people, data, None, Findings())
    assert counts.changed == 1 and merged_data['annotations'][0]['mal_human'] == 1


def test_another_tolerance_than_on_the_way_out_is_noticed(tmp_path):
    y, x = np.mgrid[:60, :60]
    annotations = [
        annotation(n, 1, (x - 30) ** 2 + (y - 30) ** 2 < (12 + n) ** 2, 1) for n in range(12)
    ]
    data = dict(
        images=[dict(id=1, file_name='1.png', width=60, height=60)],
        annotations=annotations,
        categories=[dict(id=1, name='cat')],
    )
    out = tmp_path / 'task.xml'
    coarse = WriteOptions(shapes='polygons', tolerance=1.5)
    find_format('cvat').writer()(data, out, coarse, Findings())
    for given, noticed in ((WriteOptions(shapes='polygons'), True), (coarse, False)):
        base, findings = copy.deepcopy(data), Findings()
        corrected = find_format('cvat').reader()(out, ReadOptions(), findings)
        sent = as_exported(base, 'cvat', given)
        _, counts = merge_corrections(corrected, base, sent, findings)
        assert any('--tolerance' in what for what in findings.noted) is noticed
        assert bool(counts.changed) is noticed
