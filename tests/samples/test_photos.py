import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from mal_mm.pip_download import default_cache
from mal_mm.samples import make_photos, photos, summarize
from mal_mm.samples.coco_writer import box_of_mask

TOOL = Path(__file__).resolve().parents[2] / 'tools' / 'make_sample_dataset.py'
DATA = TOOL.parent / 'sample_data' / 'photos'
WHEEL = 'scikit_image-0.26.0-cp311-cp311-manylinux_2_28_x86_64.whl'


def read_data():
    return json.loads((DATA / 'photos.json').read_text())


def photographs_are_here():
    installed = photos._read_installed(read_data()['images'])
    return installed is not None or any(default_cache().glob(photos.WHEEL_PATTERN))


@pytest.fixture
def drawing(tmp_path):
    """A data folder with one image of two objects, and the wheel that holds the image."""
    pixels = np.arange(6 * 8 * 3, dtype=np.uint8).reshape(6, 8, 3)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, 'PNG')
    content = buffer.getvalue()
    masks = np.zeros((2, 6, 8), bool)
    masks[0, 1:4, 2:5] = True
    masks[1, 5, 7] = True
    image = dict(
        file_name='a.png',
        width=8,
        height=6,
        path='skimage/data/a.png',
        sha256=hashlib.sha256(content).hexdigest(),
        licence='public domain (somebody)',
    )
    instances = []
    for category, mask in zip(('pot', 'lid'), masks, strict=True):
        rle = coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8))
        rle['counts'] = rle['counts'].decode()
        instances.append(dict(image='a.png', name='x', category=category, segmentation=rle))
    data_dir = tmp_path / 'data'
    data_dir.mkdir()
    data = dict(package='scikit-image==0.26.0', images=[image], instances=instances)
    (data_dir / 'photos.json').write_text(json.dumps(data))
    wheel = write_wheel(tmp_path / 'links' / WHEEL, content)
    return data_dir, wheel, content, masks


def write_wheel(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, 'w') as wheel:
        wheel.writestr('skimage/data/a.png', content)
        info = 'scikit_image-0.26.0.dist-info'
        wheel.writestr(
            f'{info}/METADATA', 'Metadata-Version: 2.1\nName: scikit-image\nVersion: 0.26.0\n'
        )
        wheel.writestr(f'{info}/WHEEL', 'Wheel-Version: 1.0\nTag: cp311-cp311-any\n')
        wheel.writestr(f'{info}/RECORD', '')
    return path


@pytest.fixture
def no_skimage(monkeypatch, tmp_path):
    """scikit-image is not installed, the cache is empty and there is no network."""
    monkeypatch.setattr(photos, 'find_spec', lambda name: None)
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    monkeypatch.setenv('PIP_CONFIG_FILE', os.devnull)
    monkeypatch.setenv('PIP_NO_INDEX', '1')
    monkeypatch.setenv('PIP_FIND_LINKS', str(tmp_path / 'links'))


def test_image_is_the_file_of_the_wheel_and_masks_are_those_of_the_data(drawing, tmp_path):
    data_dir, wheel, content, masks = drawing
    paths = make_photos(tmp_path / 'out', data_dir, wheel)
    assert (tmp_path / 'out' / 'photos' / 'a.png').read_bytes() == content
    boxed, masked = (json.loads(paths[key].read_text()) for key in ('photos', 'photos_gt'))
    assert (
        boxed['images']
        == masked['images']
        == [dict(id=1, file_name='photos/a.png', width=8, height=6, license=2)]
    )
    assert [licence['name'] for licence in boxed['licenses']] == ['Public Domain Mark 1.0']
    assert [category['name'] for category in boxed['categories']] == ['pot', 'lid']
    assert [a['bbox'] for a in boxed['annotations']] == [[2, 1, 3, 3], [7, 5, 1, 1]]
    assert all('segmentation' not in a for a in boxed['annotations'])
    for annotation, mask in zip(masked['annotations'], masks, strict=True):
        assert np.array_equal(coco_mask.decode(annotation['segmentation']), mask)
    assert 'photos: 1 images, 2 boxes' in summarize(paths)


def test_without_scikit_image_the_error_names_both_options(drawing, no_skimage, tmp_path):
    with pytest.raises(FileNotFoundError, match=r'--download .* or --wheel'):
        make_photos(tmp_path / 'out', drawing[0])
    assert not (tmp_path / 'out').exists()


def test_download_is_announced_and_kept_for_the_next_time(drawing, no_skimage, tmp_path):
    data_dir, wheel, content, _ = drawing
    announced = []
    make_photos(tmp_path / 'a', data_dir, download=True, announce=announced.append)
    assert len(announced) == 1
    assert '14 MB' in announced[0] and 'CC0 or public domain' in announced[0]
    assert [path.name for path in (tmp_path / 'cache' / 'mal_mm').iterdir()] == [WHEEL]
    wheel.unlink()
    make_photos(tmp_path / 'b', data_dir, download=True, announce=announced.append)
    assert len(announced) == 1
    assert (tmp_path / 'b' / 'photos' / 'a.png').read_bytes() == content


def test_failed_download_says_what_to_fetch_by_hand(drawing, no_skimage, tmp_path):
    drawing[1].unlink()
    with pytest.raises(RuntimeError, match=r'fetch scikit_image-0\.26\.0-\*\.whl by hand'):
        make_photos(tmp_path / 'out', drawing[0], download=True)
    assert list((tmp_path / 'cache' / 'mal_mm').iterdir()) == []


def test_other_pixels_than_the_annotated_ones_are_refused(drawing, no_skimage, tmp_path):
    data_dir, wheel, content, _ = drawing
    write_wheel(wheel, content + b'x')
    with pytest.raises(ValueError, match=r'a\.png is not the file that was annotated'):
        make_photos(tmp_path / 'out', data_dir, wheel)
    assert not (tmp_path / 'out').exists()


def test_installed_package_with_other_files_is_passed_over(
    drawing, no_skimage, tmp_path, monkeypatch
):
    data_dir, _, content, _ = drawing
    package = tmp_path / 'site' / 'skimage'
    (package / 'data').mkdir(parents=True)
    (package / '__init__.py').touch()
    (package / 'data' / 'a.png').write_bytes(b'another photograph')
    monkeypatch.setattr(photos, 'find_spec', spec_of(package))
    with pytest.raises(FileNotFoundError, match='--download'):
        make_photos(tmp_path / 'out', data_dir)
    (package / 'data' / 'a.png').write_bytes(content)
    make_photos(tmp_path / 'out', data_dir)
    assert (tmp_path / 'out' / 'photos' / 'a.png').read_bytes() == content


def spec_of(package):
    from importlib.machinery import ModuleSpec

    spec = ModuleSpec('skimage', None, origin=str(package / '__init__.py'))
    return lambda name: spec


def test_file_that_is_no_wheel_of_it_is_named(drawing, tmp_path):
    wheel = tmp_path / 'x.whl'
    with pytest.raises(FileNotFoundError, match=r'x\.whl does not exist'):
        make_photos(tmp_path / 'out', drawing[0], wheel)
    wheel.write_bytes(b'no zip')
    with pytest.raises(ValueError, match=r'x\.whl is no wheel of scikit-image==0\.26\.0'):
        make_photos(tmp_path / 'out', drawing[0], wheel)
    with zipfile.ZipFile(wheel, 'w') as archive:
        archive.writestr('something/else', b'')
    with pytest.raises(ValueError, match=r'x\.whl is no wheel of scikit-image==0\.26\.0'):
        make_photos(tmp_path / 'out', drawing[0], wheel)


def test_masks_that_came_with_mal_mm_are_ten_and_never_overlap():
    data = read_data()
    assert [len(data['images']), len(data['instances'])] == [5, 10]
    for image in data['images']:
        claimed = np.zeros((image['height'], image['width']), int)
        for instance in data['instances']:
            if instance['image'] == image['file_name']:
                mask = coco_mask.decode(instance['segmentation'])
                assert mask.sum() > 0.1 * np.prod(box_of_mask(mask > 0)[2:])
                claimed += mask
        assert claimed.max() == 1


@pytest.mark.skipif(not photographs_are_here(), reason='scikit-image is not there; not downloaded')
def test_photographs_of_scikit_image_fit_their_masks(tmp_path):
    data = tmp_path / 'sample_data' / 'photos'
    shutil.copytree(DATA, data)
    tool = shutil.copy(TOOL, tmp_path)  # in an installed package it finds the data beside it
    done = subprocess.run(
        [sys.executable, tool, 'photos', 'out'], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert 'photos: 5 images, 10 boxes (0 small, 1 medium, 9 large)' in done.stdout
    content = json.loads((tmp_path / 'out' / 'photos_gt.json').read_text())
    for image in content['images']:
        with Image.open(tmp_path / 'out' / image['file_name']) as photo:
            assert photo.size == (image['width'], image['height'])
    assert {image['license'] for image in content['images']} == {1, 2}
    for annotation in content['annotations']:
        assert annotation['bbox'] == box_of_mask(coco_mask.decode(annotation['segmentation']) > 0)
