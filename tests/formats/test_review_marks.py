"""The file of marks: what is read, what is refused, which mask a mark is of."""

from __future__ import annotations

import json
import zlib

import numpy as np
import pytest
from pycocotools import mask as mask_utils

from mal_mm.formats import AnnotationError
from mal_mm.formats.review_marks import mask_digest, read_marks

pytestmark = pytest.mark.slow  # nothing here depends on the stack

RLE = {'size': [4, 5], 'counts': '02B4'}
OTHER = {'size': [4, 5], 'counts': '02B5'}


def write(path, *marks, **fields):
    data = {'format': 'mal_mm review marks', 'version': 1, 'marks': list(marks), **fields}
    path.write_text(json.dumps(data))
    return path


def test_a_mark_holds_for_the_mask_that_was_looked_at_alone(tmp_path):
    entries = [
        {'annotation_id': 7, 'mark': 'reject', 'mask': mask_digest(RLE)},
        {'annotation_id': '7', 'mark': 'accept', 'mask': ''},
    ]
    marks = read_marks(write(tmp_path / 'marks.json', *entries))
    assert len(marks) == 2
    assert marks.mark_of({'id': 7, 'segmentation': RLE}) == 'reject'
    assert not marks.is_outdated({'id': 7, 'segmentation': RLE})
    assert marks.mark_of({'id': 7, 'segmentation': OTHER}) is None
    assert marks.is_outdated({'id': 7, 'segmentation': OTHER})
    assert marks.mark_of({'id': '7'}) == 'accept'
    assert marks.mark_of({'id': 8}) is None
    assert not marks.is_outdated({'id': 8})


def test_an_id_that_a_file_gives_twice_is_told_apart_by_its_mask(tmp_path):
    entries = [
        {'annotation_id': 1, 'mark': 'reject', 'mask': mask_digest(RLE)},
        {'annotation_id': 1, 'mark': 'needs_work', 'mask': mask_digest(OTHER)},
    ]
    marks = read_marks(write(tmp_path / 'marks.json', *entries))
    assert marks.mark_of({'id': 1, 'segmentation': OTHER}) == 'needs_work'


def test_the_digest_is_the_checksum_of_size_and_run_lengths():
    assert mask_digest(RLE) == f'{zlib.crc32(b"[4, 5] 02B4"):08x}'
    assert mask_digest({'size': [4, 5], 'counts': b'02B4'}) == mask_digest(RLE)
    encoded = mask_utils.encode(np.asfortranarray(np.eye(4, 5, dtype=np.uint8)))
    assert mask_digest({**encoded, 'counts': encoded['counts'].decode()}) == mask_digest(encoded)
    polygons = [[0, 0, 3, 0, 3, 3]]
    assert len({mask_digest(each) for each in (RLE, OTHER, polygons, None)}) == 4
    assert mask_digest(None) == mask_digest([]) == ''


@pytest.mark.parametrize(
    ('content', 'words'),
    [
        ({'images': []}, 'is no file of review marks'),
        ({'version': 2}, 'has version 2 of the marks, this program reads 1'),
        ({'marks': {}}, "'marks' must be a list"),
        ({'marks': [{'mark': 'accept'}]}, r"marks\[0\] must be an object with 'annotation_id'"),
        ({'marks': [{'annotation_id': 3, 'mark': 'bad'}]}, r'annotation 3\) has the mark .bad.'),
    ],
)
def test_other_files_are_refused_with_the_entry_that_is_wrong(tmp_path, content, words):
    path = write(tmp_path / 'marks.json', **content)
    if 'images' in content:
        path.write_text(json.dumps(content))
    with pytest.raises(AnnotationError, match=words):
        read_marks(path)
