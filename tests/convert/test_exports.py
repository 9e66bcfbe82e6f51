"""Exports that other tools' libraries have written (tests/data/exports) are read as meant."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from coco_files import objects, rle_of

from mal_mm.convert import Findings, ReadOptions, find_format, guess_format
from mal_mm.formats.polygons import rle_iou

pytestmark = pytest.mark.slow
EXPORTS = Path(__file__).parents[1] / 'data' / 'exports'
RING, PARTS = np.zeros((20, 30), bool), np.zeros((20, 30), bool)
RING[2:12, 3:15] = True
RING[5:8, 6:10] = False
PARTS[14:19, 1:6] = PARTS[15:18, 20:28] = True
CORNER = np.zeros((16, 12), bool)
CORNER[:5, :4] = True
FIRST = [('Katze', rle_of(RING), (3, 2, 15, 12)), ('dog', rle_of(PARTS), (1, 14, 28, 19))]
SECOND = [('dog', rle_of(CORNER), (0, 0, 4, 5))]


def read(name: str, **options) -> tuple[dict, Findings, str]:
    findings = Findings()
    form = guess_format(EXPORTS / name)
    data = form.reader()(EXPORTS / name, ReadOptions(**options), findings)
    return objects(data), findings, form.name


@pytest.mark.parametrize(
    ('name', 'form', 'names'),
    [
        ('datumaro_datumaro', 'datumaro', ('first one.png', 'second.png', 'empty.png')),
        ('datumaro_cvat/train.xml', 'cvat', ('first one.png', 'second.png', 'empty.png')),
        (
            'datumaro_coco_instances/annotations/instances_train.json',
            'coco',
            ('first one.png', 'second.png', 'empty.png'),
        ),
        ('label_studio_sdk/export.json', 'label-studio', ('first_one.png', 'second.png', None)),
        # Datumaro counts pixels from 0 here, and writes no file for an empty picture
        ('datumaro_voc', 'voc', ('first one.png', 'second.png', None)),
    ],
)
def test_masks_with_holes_and_parts_are_read_without_loss(name, form, names):
    found, findings, guessed = read(name)
    wanted = dict(zip(names, (FIRST, SECOND, []), strict=True))
    wanted.pop(None, None)
    assert guessed == form and found == wanted and not findings.lost


def test_boxes_of_datumaros_yolo_with_two_splits_are_read():
    found, findings, form = read('datumaro_yolo_ultralytics')
    assert form == 'yolo' and not findings.lost
    assert {name: [(t[0], t[2]) for t in things] for name, things in found.items()} == {
        'train/first one.png': [(t[0], t[2]) for t in FIRST],
        'train/empty.png': [],
        'val/second.png': [(t[0], t[2]) for t in SECOND],
    }


def test_openimages_boxes_are_read_with_the_sizes_of_the_pictures():
    found, findings, form = read(
        'datumaro_open_images/annotations/train-annotations-bbox.csv',
        img_root=EXPORTS / 'supervision_yolo' / 'images',
    )
    assert form == 'openimages' and not findings.lost
    assert found['first one.png'] == [(label, None, box) for label, _, box in FIRST]
    assert found['empty.png'] == []


def test_supervision_splits_parts_and_draws_through_the_centres_of_pixels():
    # what it loses is its own: polygons through the centres of border pixels, a part an object
    for name in ('supervision_yolo', 'supervision_pascal_voc'):
        found, findings, _ = read(name)
        assert [t[0] for t in found['first one.png']] == ['Katze', 'dog', 'dog']
        assert rle_iou(found['second.png'][0][1], SECOND[0][1]) == pytest.approx(0.6)
        assert found['empty.png'] == [] and not findings.lost


def test_a_folder_or_a_zip_with_one_coco_file_is_read():
    form = find_format('coco')
    data = form.reader()(EXPORTS / 'datumaro_coco_instances', ReadOptions(), Findings())
    assert objects(data)['first one.png'] == FIRST
