import json
from pathlib import Path

import numpy as np
import pytest
from in_process import call
from PIL import Image
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from mal_mm.samples import make_nuclei
from mal_mm.samples.coco_writer import box_of_mask
from mal_mm.samples.data_dir import default_data_dir
from mal_mm.samples.nuclei import TILES, stretch_contrast

TOOLS = Path(__file__).resolve().parents[2] / 'tools'
DATA = TOOLS / 'sample_data' / 'nuclei'


@pytest.fixture(scope='module')
def out(tmp_path_factory):
    folder = tmp_path_factory.mktemp('nuclei')
    done = call('samples', 'nuclei', 'here', cwd=folder)
    assert done.returncode == 0, done.stderr
    assert 'train: 2 images, 95 boxes' in done.stdout
    assert 'unseen: 2 images, 30 boxes' in done.stdout
    return folder / 'here'


@pytest.fixture(scope='module')
def labels():
    return np.asarray(Image.open(DATA / 'labels.png')).astype(int)


@pytest.fixture(scope='module')
def image():
    return np.asarray(Image.open(DATA / 'image.png'))


def tiles_with_masks(out):
    for split, rects in TILES.items():
        content = json.loads((out / f'{split}_gt.json').read_text())
        for rect, image in zip(rects, content['images'], strict=True):
            found = [a for a in content['annotations'] if a['image_id'] == image['id']]
            masks = [coco_mask.decode(a['segmentation']).astype(bool) for a in found]
            yield split, rect, image, found, masks


def test_tiles_put_together_are_the_stretched_image_and_share_no_pixel(out, image):
    times_covered = np.zeros(image.shape, int)
    together = np.zeros((*image.shape, 3), np.uint8)
    for _, (x0, y0, x1, y1), entry, _, _ in tiles_with_masks(out):
        tile = Image.open(out / entry['file_name'])
        assert tile.mode == 'RGB'
        assert tile.size == (entry['width'], entry['height'])
        together[y0:y1, x0:x1] = np.asarray(tile)
        times_covered[y0:y1, x0:x1] += 1
    assert (times_covered == 1).all()
    stretched = stretch_contrast(image)
    np.testing.assert_array_equal(together, np.repeat(stretched[..., None], 3, axis=2))


def test_stretching_fills_the_scale_and_keeps_the_order_of_grey_values(image):
    stretched = stretch_contrast(image)
    assert stretched.dtype == np.uint8
    assert (stretched.min(), stretched.max()) == (0, 255)
    by_grey = stretched.ravel()[np.argsort(image, axis=None)].astype(int)
    assert (np.diff(by_grey) >= 0).all()


def test_stretching_spans_the_percentiles_and_lifts_dark_values():
    # of 1002 values the outliers 0 and 255 lie beyond the 1st and 99.8th percentile, 10 and 210
    image = np.uint8([[0, 255, *[10] * 400, *[60] * 200, *[210] * 400]])
    stretched = stretch_contrast(image)
    # a quarter of the range: 255 * 0.25 ** 0.6 = 255 * 2 ** -1.2 = 111.0
    assert stretched[0, [0, 2, 402, 602, 1]].tolist() == [0, 0, 111, 255, 255]


def test_every_nucleus_is_on_one_side_and_one_loses_six_pixels(out, labels):
    together = np.zeros_like(labels)
    owner = {}
    for split, (x0, y0, x1, y1), _, _, masks in tiles_with_masks(out):
        for mask in masks:
            (number,) = np.unique(labels[y0:y1, x0:x1][mask])
            assert number not in owner
            owner[number] = split
            together[y0:y1, x0:x1][mask] = number
    assert set(owner) == set(np.unique(labels)) - {0}
    assert list(owner.values()).count('train') == 95
    assert list(owner.values()).count('unseen') == 30
    lost = labels[together != labels]
    assert len(lost) == 6
    assert len(set(lost)) == 1
    assert owner[lost[0]] == 'unseen'


def test_boxes_are_tight_to_the_masks(out):
    for _, _, _, found, masks in tiles_with_masks(out):
        for annotation, mask in zip(found, masks, strict=True):
            assert annotation['bbox'] == box_of_mask(mask)
            assert annotation['area'] == mask.sum()


@pytest.mark.parametrize('split', ['train', 'unseen'])
def test_boxes_only_file_holds_the_same_boxes_without_masks(out, split):
    boxed = json.loads((out / f'{split}.json').read_text())
    masked = json.loads((out / f'{split}_gt.json').read_text())
    assert boxed['images'] == masked['images']
    keys = ('id', 'image_id', 'category_id', 'bbox', 'iscrowd')
    for box, mask in zip(boxed['annotations'], masked['annotations'], strict=True):
        assert 'segmentation' not in box
        assert box['area'] == box['bbox'][2] * box['bbox'][3]
        assert [box[key] for key in keys] == [mask[key] for key in keys]


def test_coco_api_reads_the_masks(out):
    coco = COCO(str(out / 'unseen_gt.json'))
    annotation = coco.loadAnns(coco.getAnnIds())[0]
    assert coco.annToMask(annotation).sum() == annotation['area']


def test_second_run_writes_the_same_bytes(out, tmp_path):
    make_nuclei(tmp_path)  # with the folder it finds by itself
    first = {p.relative_to(out): p.read_bytes() for p in out.rglob('*') if p.is_file()}
    second = {p.relative_to(tmp_path): p.read_bytes() for p in tmp_path.rglob('*') if p.is_file()}
    assert len(first) == 8
    assert first == second


def test_data_that_came_with_mal_mm_are_found():
    assert (default_data_dir('nuclei') / 'labels.png').read_bytes() == (
        DATA / 'labels.png'
    ).read_bytes()
