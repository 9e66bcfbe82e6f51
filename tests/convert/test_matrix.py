"""Each format that can be read into each that can be written, by the command line's functions."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from coco_files import ENDINGS, awkward, objects, write_images

from mal_mm.convert import (
    FORMATS,
    Findings,
    ReadOptions,
    WriteOptions,
    find_format,
    guess_format,
)

pytestmark = pytest.mark.slow
READ = [name for name, form in FORMATS.items() if form.read]
WRITTEN = [name for name, form in FORMATS.items() if form.write]


def source_in(name: str, folder: Path) -> Path:
    """The awkward file in a format; formats that are not written here are made by hand."""
    data = awkward()
    out = folder / f'in{ENDINGS.get(name, "")}'
    if FORMATS[name].write:
        find_format(name).writer()(data, out, WriteOptions(), Findings())
    elif name == 'openimages':
        out = folder / 'train-annotations-bbox.csv'
        sizes = {i['id']: i for i in data['images']}
        with out.open('w', newline='', encoding='utf-8') as file:
            rows = csv.writer(file)
            rows.writerow(['ImageID', 'LabelName', 'XMin', 'XMax', 'YMin', 'YMax', 'IsGroupOf'])
            for a in data['annotations']:
                image = sizes[a['image_id']]
                x, y, w, h = a['bbox']
                across = [x / image['width'], (x + w) / image['width']]
                down = [y / image['height'], (y + h) / image['height']]
                stem = Path(image['file_name']).stem
                label = {3: '/m/0', 'cat': '/m/1'}[a['category_id']]
                rows.writerow([stem, label, *across, *down, a['iscrowd']])
        names = folder / 'class-descriptions-boxable.csv'
        rows = [('/m/0', 'Katze & Hund <1>'), ('/m/1', '猫 "x"')]
        with names.open('w', newline='', encoding='utf-8') as file:
            csv.writer(file).writerows(rows)
    else:
        out = folder / 'in.json'
        for image in data['images']:
            file_name = image.pop('file_name') if name == 'lvis' else image['file_name']
            if name == 'lvis':
                image['coco_url'] = f'http://images.example/{file_name}'
        out.write_text(json.dumps(data))
    if name.startswith('yolo'):
        write_images(awkward(), out / 'images')
    return out


@pytest.mark.parametrize('name', READ)
def test_what_a_format_holds_goes_into_every_other(name, tmp_path):
    source = source_in(name, tmp_path)
    write_images(awkward(), tmp_path / 'pictures')
    root = tmp_path / 'pictures' if name == 'openimages' else None
    # what cannot be told by the look has to be said
    told = {'yolo-seg': 'yolo', 'objects365': 'coco'}.get(name, name)
    assert guess_format(source).name == told
    found = Findings()
    data = find_format(name).reader()(source, ReadOptions(img_root=root), found)
    assert not found.lost
    boxes_only = name in ('yolo', 'openimages')
    wanted = objects(awkward())
    if name.startswith('yolo'):  # no crowds there
        wanted['b.c d.jpg'] = wanted['b.c d.jpg'][:2]
    held = objects(data)
    assert held.keys() == wanted.keys()
    for picture, things in wanted.items():
        for (label, rle, box), (their_label, their_rle, their_box) in zip(
            things, held[picture], strict=True
        ):
            assert their_label == label and their_box == pytest.approx(box, abs=1e-3)
            assert their_rle == (None if boxes_only else rle)
    for to in WRITTEN:
        there, back = Findings(), Findings()
        out = tmp_path / f'{to}{ENDINGS.get(to, "")}'
        find_format(to).writer()(data, out, WriteOptions(), there)
        if to == 'yolo-seg' and boxes_only:
            assert len(there.lost['object without a mask']) >= 4
            continue
        if to.startswith('yolo'):
            write_images(awkward(), out / 'images')
        again = objects(find_format(to).reader()(out, ReadOptions(), back))
        assert not back.lost, to
        lost = sum(map(len, there.lost.values()))
        assert sum(map(len, again.values())) == sum(map(len, held.values())) - lost, to
        assert again.keys() == held.keys(), to
