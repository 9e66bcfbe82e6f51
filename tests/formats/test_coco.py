import gzip
import json
import math

import numpy as np
import pytest

from mal_mm.formats import (
    AnnotationError,
    index_annotations,
    index_categories,
    index_images,
    read_coco,
    split_usable,
    write_coco,
)

DATA = {
    'info': {'year': 2024, 'note': 'née 日本'},
    'images': [{'id': 3, 'file_name': 'a b.jpg', 'width': 10, 'height': 8}],
    'annotations': [
        {'id': 1, 'image_id': 3, 'category_id': 7, 'bbox': [1.5, 2, 3, 4], 'mine': [None, True]}
    ],
    'categories': [{'id': 7, 'name': 'Kätzchen'}],
    'licenses': [],
}


def refusal(path):
    with pytest.raises(AnnotationError) as caught:
        read_coco(path)
    message = str(caught.value)
    assert str(path) in message
    assert len(message.splitlines()) == 1
    return message


def write_text(tmp_path, text):
    path = tmp_path / 'ann.json'
    path.write_text(text, encoding='utf-8')
    return path


@pytest.mark.parametrize('name', ['out.json', 'out.json.gz'])
def test_what_is_written_is_read_back_equal(tmp_path, name):
    write_coco(DATA, tmp_path / name)
    back = read_coco(tmp_path / name)
    assert back == DATA
    assert list(back) == list(DATA)


def test_the_written_file_is_compact_utf8(tmp_path):
    write_coco(DATA, tmp_path / 'out.json')
    assert (tmp_path / 'out.json').read_bytes() == json.dumps(
        DATA, ensure_ascii=False, separators=(',', ':')
    ).encode('utf-8')


def test_an_empty_object_and_long_lists_are_written_as_json_does(tmp_path):
    for data in ({}, {'a': []}, {'a': list(range(4001)), 'b': {'c': [1]}, 'd': None}):
        write_coco(data, tmp_path / 'out.json')
        assert json.loads((tmp_path / 'out.json').read_text()) == data


def test_the_same_annotations_give_the_same_gzip_bytes(tmp_path):
    write_coco(DATA, tmp_path / 'a.json.gz')
    write_coco(DATA, tmp_path / 'b.json.gz')
    assert (tmp_path / 'a.json.gz').read_bytes() == (tmp_path / 'b.json.gz').read_bytes()
    with gzip.open(tmp_path / 'a.json.gz') as file:
        assert json.load(file) == DATA


def test_nan_and_infinity_come_out_as_they_went_in(tmp_path):
    text = '{"images":[],"annotations":[{"bbox":[NaN,1e999,-Infinity,0.1]}]}'
    data = read_coco(write_text(tmp_path, text))
    write_coco(data, tmp_path / 'out.json')
    box = read_coco(tmp_path / 'out.json')['annotations'][0]['bbox']
    assert math.isnan(box[0])
    assert box[1:] == [math.inf, -math.inf, 0.1]


def test_half_a_surrogate_pair_survives(tmp_path):
    text = r'{"images":[{"id":1,"file_name":"\ud83d.jpg"}],"annotations":[],"x":"ü"}'
    data = read_coco(write_text(tmp_path, text))
    write_coco(data, tmp_path / 'out.json')
    assert read_coco(tmp_path / 'out.json') == data


def test_numpy_values_and_bytes_are_written_as_plain_json(tmp_path):
    rle = {'size': np.array([2, 2]), 'counts': b'04'}
    annotation = {'area': np.float32(0.5), 'n': np.int64(3), 'rle': rle}
    write_coco({'annotations': [annotation]}, tmp_path / 'out.json')
    assert json.loads((tmp_path / 'out.json').read_text()) == {
        'annotations': [{'area': 0.5, 'n': 3, 'rle': {'size': [2, 2], 'counts': '04'}}]
    }


def test_what_json_cannot_hold_is_named_and_no_file_appears(tmp_path):
    with pytest.raises(AnnotationError, match=r"out\.json: 'info'.*set"):
        write_coco({'images': [], 'info': {1}}, tmp_path / 'out.json')
    assert list(tmp_path.iterdir()) == []


def test_a_utf8_byte_order_mark_is_ignored(tmp_path):
    path = tmp_path / 'ann.json'
    path.write_text(json.dumps(DATA), encoding='utf-8-sig')
    assert read_coco(path) == DATA


def test_no_annotations_at_all_is_fine(tmp_path):
    data = {'images': [], 'annotations': []}
    assert read_coco(write_text(tmp_path, json.dumps(data))) == data


def test_a_gzipped_file_is_known_by_its_content(tmp_path):
    path = tmp_path / 'no_suffix'
    path.write_bytes(gzip.compress(json.dumps(DATA).encode()))
    assert read_coco(path) == DATA


def test_a_missing_file_is_refused(tmp_path):
    assert 'no such annotation file' in refusal(tmp_path / 'nowhere.json')


def test_a_folder_is_refused(tmp_path):
    assert 'is a folder' in refusal(tmp_path)


@pytest.mark.parametrize('text', ['', ' \n\t'])
def test_an_empty_file_is_refused(tmp_path, text):
    assert 'the file is empty' in refusal(write_text(tmp_path, text))


def test_text_that_is_not_json_is_refused_with_its_place(tmp_path):
    message = refusal(write_text(tmp_path, '{\n  "images": [1 2]}'))
    assert 'line 2, column 16' in message
    assert 'truncated' not in message


def test_a_file_cut_anywhere_is_said_to_be_truncated(tmp_path):
    whole = json.dumps({'a\u00e9': [1.5, -2e-30, 'x\n\u00e9', True, None, float('nan')], 'b': {}})
    for end in range(1, len(whole)):
        assert 'looks truncated' in refusal(write_text(tmp_path, whole[:end])), whole[:end]


def test_a_file_cut_inside_a_letter_is_said_to_be_truncated(tmp_path):
    path = tmp_path / 'ann.json'
    path.write_bytes('{"name": "ü'.encode()[:-1])
    assert 'looks truncated' in refusal(path)


@pytest.mark.parametrize('encoding', ['utf-16', 'utf-16-be', 'utf-32'])
def test_wide_encodings_are_refused_by_name(tmp_path, encoding):
    path = tmp_path / 'ann.json'
    path.write_bytes('{"images": []}'.encode(encoding))
    message = refusal(path)
    assert encoding[:6].upper() in message
    assert 'save' in message


def test_a_picture_is_refused(tmp_path):
    path = tmp_path / 'ann.json'
    path.write_bytes(b'\xff\xd8\xff\xe0\x00\x10JFIF')
    assert 'not UTF-8 text (byte 0xff at offset 0)' in refusal(path)


@pytest.mark.parametrize(
    'damage', [lambda raw: raw[:-9], lambda raw: raw[:20] + b'xxx' + raw[23:]]
)
def test_damaged_gzip_is_refused(tmp_path, damage):
    path = tmp_path / 'ann.json.gz'
    path.write_bytes(damage(gzip.compress(json.dumps(DATA).encode())))
    assert 'gzip data is damaged or truncated' in refusal(path)


def test_endless_nesting_is_refused(tmp_path):
    assert 'nested too deeply' in refusal(write_text(tmp_path, '[' * 200_000 + ']' * 200_000))


def test_a_list_at_the_top_is_refused_with_the_likely_reason(tmp_path):
    message = refusal(write_text(tmp_path, '[]'))
    assert 'got a list' in message
    assert 'detection results' in message


@pytest.mark.parametrize(
    ('text', 'words'),
    [
        ('3', 'got a number'),
        ('null', 'got null'),
        ('{}', "no 'images' at the top (keys found: none)"),
        ('{"images": []}', "no 'annotations' at the top (keys found: 'images')"),
        ('{"images": [], "annotations": null}', 'must be a list of objects, got null'),
        ('{"images": {}, "annotations": []}', "'images' must be a list of objects, got an obj"),
        ('{"images": [], "annotations": [{}, 5]}', 'annotations[1] must be an object, got 5'),
    ],
)
def test_a_wrong_structure_is_refused(tmp_path, text, words):
    assert words in refusal(write_text(tmp_path, text))


def test_records_are_found_by_id():
    assert index_images(DATA, 'f') == {3: DATA['images'][0]}
    assert index_annotations(DATA, 'f') == {1: DATA['annotations'][0]}
    assert index_categories(DATA, 'f') == {7: DATA['categories'][0]}


def test_a_file_without_categories_has_none_to_check_by():
    assert index_categories({'images': []}, 'f') is None


def test_duplicate_ids_are_refused_by_name():
    data = {'images': [{'id': 4}, {'id': 5}, {'id': 4}]}
    with pytest.raises(AnnotationError, match=r"file\.json: id 4 occurs twice in 'images'"):
        index_images(data, 'file.json')


@pytest.mark.parametrize('record', [{}, {'id': None}, {'id': [1]}, {'id': math.nan}, {'id': True}])
def test_records_without_a_usable_id_are_refused(record):
    with pytest.raises(AnnotationError, match=r'f: images\[1\] has .*id'):
        index_images({'images': [{'id': 1}, record]}, 'f')


def test_usable_and_skipped_annotations_make_up_the_file():
    good = DATA['annotations'][0]
    data = {
        **DATA,
        'annotations': [good, {**good, 'id': 2, 'category_id': 0}, good, {'image_id': 3}],
    }
    usable, skips = split_usable(data)
    assert usable == [0, 2]
    assert [(skip.annotation_index, skip.annotation_id) for skip in skips] == [(1, 2), (3, None)]
    assert "category_id 0 is not among the file's categories" in skips[0].reason
    assert skips[1].reason == 'bbox is missing'


def test_no_annotation_means_nothing_usable_and_nothing_skipped():
    assert split_usable({'images': [], 'annotations': []}) == ([], [])
