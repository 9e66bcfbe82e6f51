"""VOC, labelme, CVAT, Label Studio and others: what people's files hold beside boxes."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from coco_files import objects, rle_of

from mal_mm.convert import Findings, ReadOptions, find_format, guess_format
from mal_mm.convert.label_studio_rle import decode_brush, encode_brush
from mal_mm.formats import AnnotationError

pytestmark = pytest.mark.slow


def read(source: Path, name: str | None = None, **options) -> tuple[dict, Findings]:
    findings = Findings()
    form = find_format(name) if name else guess_format(source)
    return form.reader()(source, ReadOptions(**options), findings), findings


def write(path: Path, content: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = content if isinstance(content, str) else json.dumps(content)
    path.write_text(text, encoding='utf-8')
    return path


# ------------------------------------------------------------------------------------------ VOC

VOC = """<annotation><folder>x</folder><filename>C:\\old\\first.JPG</filename>
<size><width>40</width><height>20</height><depth>3</depth></size>
<object><name>cat</name><difficult>1</difficult><truncated>1</truncated><pose>Left</pose>
<bndbox><xmin>1</xmin><ymin>2</ymin><xmax>40</xmax><ymax>20</ymax></bndbox>
<part><name>head</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>2</xmax><ymax>2</ymax></bndbox>
</part></object>
<object><bndbox><xmin>1</xmin></bndbox></object>
<object><name>dog</name><bndbox><xmin>9</xmin><ymin>2</ymin><xmax>4</xmax><ymax>20</ymax></bndbox>
</object></annotation>"""


def test_voc_pixels_count_from_one_and_difficult_objects_are_left_out_of_training(tmp_path):
    write(tmp_path / 'Annotations/first.xml', VOC)
    data, findings = read(tmp_path)
    (annotation,) = data['annotations']
    assert annotation['bbox'] == [0, 1, 40, 19] and annotation['ignore'] == 1
    assert annotation['attributes'] == {'truncated': 1, 'pose': 'Left'}
    assert data['images'][0]['file_name'] == 'first.JPG'
    assert findings.lost['object without a name'] == ['first.xml, object 2']
    assert findings.lost['box without extent'] == ['first.xml, object 3: [8.0, 1.0, 4.0, 20.0]']
    assert findings.noted['<part> of an object is not taken over'] == ['first.xml, object 1']


def test_voc_with_a_corner_of_0_counts_from_zero(tmp_path):
    write(tmp_path / 'Annotations/first.xml', VOC.replace('<xmin>1</xmin>', '<xmin>0</xmin>', 1))
    data, findings = read(tmp_path)
    assert data['annotations'][0]['bbox'] == [0, 2, 40, 18]
    assert any('counted from 0' in what for what in findings.noted)


def test_a_voc_split_takes_its_names_alone(tmp_path):
    for name in ('a', 'b'):
        write(tmp_path / f'Annotations/{name}.xml', VOC.replace('first.JPG', f'{name}.JPG'))
    write(tmp_path / 'ImageSets/Main/val.txt', 'b  1\nb\n')
    data, _ = read(tmp_path, split='val')
    assert [i['file_name'] for i in data['images']] == ['b.JPG']
    with pytest.raises(AnnotationError, match=r'ImageSets/\*/x\.txt'):
        read(tmp_path, split='x')


@pytest.mark.parametrize('name', ['voc', 'cvat'])
def test_xml_with_a_doctype_is_refused_before_its_entities_grow(tmp_path, name):
    bomb = '<!DOCTYPE a [<!ENTITY b "bbbbbbbbbb"><!ENTITY c "&b;&b;&b;">]>'
    root = 'annotation' if name == 'voc' else 'annotations'
    path = write(tmp_path / 'x.xml', f'{bomb}<{root}>&c;</{root}>')
    if name == 'cvat':
        with pytest.raises(AnnotationError, match='DOCTYPE'):
            read(path, name)
    else:  # one bad file never stops the others
        _, findings = read(path, name)
        assert 'DOCTYPE' in findings.lost['file that cannot be read'][0]


# -------------------------------------------------------------------------------------- labelme


def test_labelme_groups_are_one_object_and_lines_are_listed(tmp_path):
    def shape(kind, points, label='cat', group=None, **fields):
        return dict(shape_type=kind, points=points, label=label, group_id=group, **fields)

    shapes = [
        shape('polygon', [[0, 0], [4, 0], [4, 4], [0, 4]], group=1),
        shape('polygon', [[6, 6], [9, 6], [9, 9], [6, 9]], group=1, flags={'wild': True}),
        shape('rectangle', [[8, 5], [2, 1]], 'dog', description='a note'),
        shape('linestrip', [[0, 0], [4, 0]], 'dog'),
        shape('circle', [[5, 5], [5, 8]], 'disc'),
        shape('polygon', [[0, 0], ['x', 0], [4, 4]], 'dog'),
    ]
    file = dict(shapes=shapes, imagePath='..\\images\\a.jpg', imageWidth=12, imageHeight=10)
    write(tmp_path / 'json/a.json', file)
    write(tmp_path / 'json/other.json', {'x': 1})
    data, findings = read(tmp_path)
    assert data['images'][0]['file_name'] == 'images/a.jpg'
    cat, dog, disc = data['annotations']
    assert cat['area'] == 16 + 9 and cat['bbox'] == [0, 0, 9, 9]
    assert dog['bbox'] == [2, 1, 6, 4] and dog['attributes'] == {'description': 'a note'}
    assert 24 <= disc['area'] <= 32  # pi * 9 = 28.3
    assert {what: len(where) for what, where in findings.lost.items()} == {
        'linestrip of 2 points is neither box nor mask': 1,
        'points that are not pairs of numbers': 1,
    }
    assert findings.noted['JSON file that is not of labelme'] == ['json/other.json']


def test_a_labelme_image_outside_its_folder_is_left_out(tmp_path):
    file = dict(shapes=[], imagePath='../../etc/a.jpg', imageWidth=12, imageHeight=10)
    write(tmp_path / 'a.json', file)
    data, findings = read(tmp_path)
    assert not data['images'] and 'steps out' in findings.lost['image left out'][0]


# ----------------------------------------------------------------------------------------- CVAT

CVAT = """<?xml version="1.0"?><annotations><version>1.1</version>
<meta><task><labels><label><name>dog</name></label></labels></task></meta>
<image id="0" name="sub/a.png" width="12" height="10" subset="Train">
<box label="cat" occluded="1" xtl="1" ytl="2" xbr="5" ybr="6" z_order="0"/>
<box label="cat" occluded="0" xtl="4" ytl="4" xbr="8" ybr="6" rotation="90"/>
<polygon label="dog" points="0,0;3,0;3,3;0,3" group_id="4"><attribute name="age">3</attribute>
</polygon><polygon label="dog" points="5,5;8,5;8,8;5,8" group_id="4"/>
<ellipse label="dog" cx="6" cy="5" rx="4" ry="2"/>
<mask label="cat" rle="1, 2, 1" left="10" top="9" width="2" height="2"/>
<polyline label="cat" points="0,0;3,0"/><tag label="night"/>
<mask label="cat" rle="1, 2" left="0" top="0" width="2" height="2"/>
</image></annotations>"""


def test_cvat_shapes_groups_and_what_has_no_place(tmp_path):
    path = write(tmp_path / 'annotations.xml', CVAT)
    with zipfile.ZipFile(tmp_path / 'task.zip', 'w') as zipped:
        zipped.write(path, 'annotations.xml')
        zipped.writestr('../../evil.png', b'')  # nothing is unpacked
    for source in (path, tmp_path / 'task.zip'):
        data, findings = read(source)
        assert [c['name'] for c in data['categories']] == ['dog', 'cat']
        assert data['images'][0]['split'] == 'Train'
        box, turned, parts, ellipse, _ = data['annotations']
        assert box['bbox'] == [1, 2, 4, 4] and box['attributes'] == {'occluded': 1}
        # a box of 4 x 2 turned upright about its middle (6, 5)
        assert turned['bbox'] == [5, 3, 2, 4] and turned['area'] == 8
        assert parts['area'] == 18 and parts['attributes'] == {'age': '3'}
        assert 23 <= ellipse['area'] <= 27  # pi * 8 = 25.1
        # rows .# and #., of which the second row lies below the image
        assert objects(data)['sub/a.png'][-1][1] == rle_of(
            np.pad([[False, True]], ((9, 0), (10, 0)))
        )
        assert {what: len(where) for what, where in findings.lost.items()} == {
            'polyline is neither box nor mask': 1,
            'tag of a whole image': 1,
            'mask damaged': 1,
        }


def test_a_cvat_video_says_which_export_to_take(tmp_path):
    path = write(tmp_path / 'v.xml', '<annotations><track id="0"/></annotations>')
    with pytest.raises(AnnotationError, match='CVAT for images'):
        read(path)


# --------------------------------------------------------------------------------- Label Studio


@pytest.mark.parametrize('seed', range(3))
def test_brush_masks_come_back_and_have_runs_of_any_length(seed):
    rng = np.random.default_rng(seed)
    mask = rng.random((30, 700)) < (0.5, 0.01, 0)[seed]
    assert (decode_brush(encode_brush(mask), 30, 700) == mask).all()


@pytest.mark.parametrize(
    ('cut', 'size'), [(slice(0, -4), (8, 8)), (slice(None), (8, 9)), (slice(0, 3), (8, 8))]
)
def test_a_damaged_brush_mask_is_said(cut, size):
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match='brush mask'):
        decode_brush(encode_brush(rng.random((8, 8)) < 0.5)[cut], *size)


def label_studio_task(results: list, **fields) -> dict:
    for result in results:
        result.update(original_width=200, original_height=100)
    annotation = dict(result=results, was_cancelled=False)
    data = {'image': '/data/upload/3/0a1b2c3d-ein_bild.jpg'}
    return {'id': 1, 'data': data, 'annotations': [annotation], **fields}


def test_label_studio_percents_turns_and_labels(tmp_path):
    box = dict(x=10, y=20, width=20, height=30)
    results = [
        dict(id='a', type='rectanglelabels', value={**box, 'rectanglelabels': ['cat', 'big']}),
        dict(
            id='b',
            type='rectanglelabels',
            value={**box, 'rotation': 90, 'rectanglelabels': ['cat']},
        ),
        dict(id='c', type='polygon', value={'points': [[0, 0], [10, 0], [10, 10]]}),
        dict(id='c', type='labels', value={'points': [], 'labels': ['dog']}),
        dict(id='d', type='keypointlabels', value={'x': 1, 'y': 1, 'keypointlabels': ['eye']}),
        dict(type='relation', from_id='a', to_id='b'),
        dict(
            id='e',
            type='rectanglelabels',
            image_rotation=90,
            value={**box, 'rectanglelabels': ['cat']},
        ),
    ]
    path = write(tmp_path / 'export.json', [label_studio_task(results)])
    data, findings = read(path)
    assert data['images'][0]['file_name'] == 'ein_bild.jpg'
    cat, turned, dog = data['annotations']
    assert cat['bbox'] == [20, 20, 40, 30]
    # turned by 90 degrees about its upper left corner (20, 20): from -10 to 20 and 20 to 60, of
    # which the mask has what lies in the image
    assert turned['segmentation'] == [[20, 20, 20, 60, -10, 60, -10, 20]]
    assert turned['bbox'] == [0, 20, 20, 40]
    assert data['categories'][dog['category_id'] - 1]['name'] == 'dog'
    assert {what: len(where) for what, where in findings.lost.items()} == {
        'further labels of a region': 1,
        'keypointlabels is neither box nor mask': 1,
        'relation is neither box nor mask': 1,
        'region of a turned image': 1,
    }
    assert findings.noted['turned box, taken as a polygon of its corners']


def test_label_studio_takes_the_newest_annotation_and_predictions_only_without(tmp_path):
    def result(x):
        return dict(
            id='a',
            type='rectanglelabels',
            original_width=200,
            original_height=100,
            value=dict(x=x, y=0, width=10, height=10, rectanglelabels=['cat']),
        )

    annotations = [
        dict(result=[result(10)], updated_at='2024-02-01'),
        dict(result=[result(20)], updated_at='2024-03-01'),
        dict(result=[result(30)], updated_at='2024-04-01', was_cancelled=True),
    ]
    done = {'data': {'image': 's3://bucket/a.png'}, 'annotations': annotations}
    guess = {**result(40), 'score': 0.5}
    open_ = {
        'data': {'image': '/data/local-files/?d=x/b%20c.png'},
        'predictions': [{'result': [guess]}],
    }
    data, _ = read(write(tmp_path / 'x.json', [done, open_]))
    assert [a['bbox'][0] for a in data['annotations']] == [40, 80]
    assert [a.get('mal_confirmed') for a in data['annotations']] == [True, None]
    assert data['annotations'][1]['score'] == 0.5
    assert [i['file_name'] for i in data['images']] == ['a.png', 'x/b c.png']


# --------------------------------------------------------------------------- Objects365, tracks


def test_objects365_v2_keeps_the_folder_of_its_archives(tmp_path):
    image = dict(id=1, file_name='images/v1/patch8/objects365_v1_1.jpg', width=4, height=4)
    path = write(tmp_path / 'o.json', dict(images=[image], annotations=[], categories=[]))
    data, _ = read(path, 'objects365')
    assert data['images'][0]['file_name'] == 'patch8/objects365_v1_1.jpg'


def test_a_track_has_an_annotation_for_each_frame_with_a_box(tmp_path):
    video = dict(id=3, width=8, height=6, length=3, file_names=['v/0.jpg', 'v/1.jpg', 'v/2.jpg'])
    track = dict(
        id=5,
        video_id=3,
        category_id=1,
        bboxes=[[0, 0, 2, 2], None, [1, 1, 2, 2]],
        segmentations=[None, None, None],
        areas=[4, None, 4],
        iscrowd=0,
    )
    lost = dict(track, video_id=9)
    data, findings = read(
        write(
            tmp_path / 'v.json',
            dict(videos=[video], annotations=[track, lost], categories=[dict(id=1, name='cat')]),
        )
    )
    assert [(a['image_id'], a['track_id'], a['bbox']) for a in data['annotations']] == [
        (1, 5, [0, 0, 2, 2]),
        (3, 5, [1, 1, 2, 2]),
    ]
    assert data['images'][2] == dict(
        id=3, file_name='v/2.jpg', width=8, height=6, video_id=3, frame_id=2
    )
    assert findings.lost == {'track of an unknown video': ['track 5']}
