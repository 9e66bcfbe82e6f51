"""YOLO data sets as people have them."""

from __future__ import annotations

from pathlib import Path

import pytest
from coco_files import objects
from PIL import Image

from mal_mm.convert import Findings, ReadOptions, find_format
from mal_mm.formats import AnnotationError

pytestmark = pytest.mark.slow


def picture(path: Path, size=(40, 20), **saving) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new('RGB', size).save(path, **saving)


def rows(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding='utf-8')


def read(source: Path, **options) -> tuple[dict, Findings]:
    findings = Findings()
    return find_format('yolo').reader()(source, ReadOptions(**options), findings), findings


def test_boxes_polygons_scores_and_blank_lines_of_any_picture(tmp_path):
    picture(tmp_path / 'images/a b.JPEG')
    picture(tmp_path / 'images/sub/ü.webp', (10, 10))
    rows(
        tmp_path / 'labels/a b.txt',
        '\ufeff1 0.5 0.5 0.5 1\n\n   \n0 0.25 0.5 0.1 0.2 0.875\n0 0 0 0.5 0 0.5 1 0 1\n',
    )
    rows(tmp_path / 'data.yaml', "names: ['cat', 'dog']\n")
    data, findings = read(tmp_path / 'data.yaml')
    assert not findings.lost and [c['name'] for c in data['categories']] == ['cat', 'dog']
    first, second, third = data['annotations']
    assert first['bbox'] == [10, 0, 20, 20] and first['category_id'] == 2
    assert second['bbox'] == [8, 8, 4, 4] and second['score'] == 0.875
    # not a box of centre and size: a polygon of four points
    assert third['segmentation'] == [[0, 0, 20, 0, 20, 20, 0, 20]] and third['area'] == 400
    assert objects(data)['sub/ü.webp'] == []


@pytest.mark.parametrize(
    ('row', 'why'),
    [
        ('0 0.5 0.5 0.1', 'neither a box'),
        ('cat 0.5 0.5 0.1 0.1', 'not numbers'),
        ('0 nan 0.5 0.1 0.1', 'NaN'),
        ('0 20 10 5 5', 'between 0 and 1'),
        ('0 0.5 0.5 0 0.1', 'above 0'),
        ('1.5 0.5 0.5 0.1 0.1', 'whole number'),
        ('-1 0.5 0.5 0.1 0.1', 'whole number'),
    ],
)
def test_a_wrong_row_is_listed_with_its_file_and_line(tmp_path, row, why):
    picture(tmp_path / 'images/a.png')
    rows(tmp_path / 'labels/a.txt', f'0 0.5 0.5 0.1 0.1\n{row}\n')
    data, findings = read(tmp_path)
    ((what, (where,)),) = findings.lost.items()
    assert why in what and where.startswith('labels/a.txt:2: ') and row[:8] in where
    assert len(data['annotations']) == 1


def test_splits_by_folders_lists_and_names_as_numbers(tmp_path):
    for name in ('train/images/a.png', 'valid/images/b.png', 'valid/images/c.PNG'):
        picture(tmp_path / name)
    rows(tmp_path / 'valid/labels/b.txt', '7 0.5 0.5 1 1\n')
    rows(tmp_path / 'few.txt', './valid/images/b.png\n\nvalid/images/gone.png\n')
    yaml = 'path: /somewhere/else\ntrain: ../train/images\nval: few.txt\nnames: {0: cat, 7: ü}\n'
    rows(tmp_path / 'data.yaml', yaml)
    data, findings = read(tmp_path / 'data.yaml')
    assert [(i['file_name'], i['split']) for i in data['images']] == [
        ('train/images/a.png', 'train'),
        ('valid/images/b.png', 'val'),
    ]
    assert findings.lost == {'image of a list is not there': ['few.txt:3: valid/images/gone.png']}
    assert objects(data)['valid/images/b.png'] == [('ü', None, (0, 0, 40, 20))]
    alone, _ = read(tmp_path / 'data.yaml', split='val')
    assert [i['file_name'] for i in alone['images']] == ['valid/images/b.png']
    with pytest.raises(AnnotationError, match=r"no split 'test'; there are: train, val"):
        read(tmp_path / 'data.yaml', split='test')


def test_a_class_beyond_the_names_a_stray_label_and_a_broken_picture_are_said(tmp_path):
    picture(tmp_path / 'images/a.png')
    rows(tmp_path / 'images/broken.png', 'no picture')
    rows(tmp_path / 'labels/a.txt', '2 0.5 0.5 1 1\n')
    rows(tmp_path / 'labels/stray.txt', '0 0.5 0.5 1 1\n')
    rows(tmp_path / 'data.yaml', 'names: [cat]\n')
    data, findings = read(tmp_path)
    assert [c['name'] for c in data['categories']] == ['cat', 'class 1', 'class 2']
    assert findings.lost['label file without an image'] == ['labels/stray.txt']
    assert 'broken.png' in findings.lost['image that cannot be read'][0]


def test_a_turned_photo_has_the_size_in_which_it_is_shown(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    picture(tmp_path / 'images/a.jpg', (40, 20), exif=exif)
    rows(tmp_path / 'labels/a.txt', '0 0.5 0.5 1 1\n')
    data, _ = read(tmp_path)
    assert data['annotations'][0]['bbox'] == [0, 0, 20, 40]


def test_files_outside_the_data_set_are_not_read(tmp_path):
    picture(tmp_path / 'secret/a.png')
    picture(tmp_path / 'set/images/b.png')
    rows(tmp_path / 'set/list.txt', '../secret/a.png\n')
    rows(tmp_path / 'set/data.yaml', 'train: list.txt\nval: images\nnames: [cat]\n')
    data, findings = read(tmp_path / 'set/data.yaml')
    assert [i['file_name'] for i in data['images']] == ['images/b.png']
    assert findings.lost == {'image of a list is not there': ['list.txt:1: ../secret/a.png']}
    rows(tmp_path / 'set/data.yaml', 'path: ../secret\ntrain: .\nnames: [cat]\n')
    with pytest.raises(AnnotationError, match='leads out of'):
        read(tmp_path / 'set/data.yaml')


@pytest.mark.parametrize(
    'text', ['names: {a: b}', 'names: 5', '- a\n- b', 'a: [', 'names: [cat, cat]\ntrain: images']
)
def test_a_data_yaml_that_makes_no_sense_is_refused(tmp_path, text):
    picture(tmp_path / 'images/b.png')
    rows(tmp_path / 'data.yaml', text)
    with pytest.raises(AnnotationError, match=r'data\.yaml'):
        read(tmp_path / 'data.yaml')


def test_darknets_folder_has_labels_beside_the_images_and_names_of_its_own(tmp_path):
    picture(tmp_path / 'obj_train_data/a.png')
    rows(tmp_path / 'obj_train_data/a.txt', '1 0.5 0.5 1 1\n')
    rows(tmp_path / 'obj.names', 'cat\ndog\n')
    rows(tmp_path / 'train.txt', 'data/obj_train_data/a.png\n')
    data, findings = read(tmp_path)
    assert objects(data) == {'obj_train_data/a.png': [('dog', None, (0, 0, 40, 20))]}
    assert not findings.lost


def test_linked_folders_are_read_once_and_hidden_copies_are_not(tmp_path):
    picture(tmp_path / 'disk/a.png')
    picture(tmp_path / 'set/.ipynb_checkpoints/a.png')
    (tmp_path / 'set/images').symlink_to(tmp_path / 'disk')
    (tmp_path / 'disk/again').symlink_to(tmp_path / 'disk')
    rows(tmp_path / 'set/labels/a.txt', '0 0.5 0.5 1 1\n')
    data, findings = read(tmp_path / 'set')
    assert list(objects(data)) == ['a.png'] and len(data['annotations']) == 1
    assert not findings.lost
