import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from mal_mm.datasets import RoIDataset
from mal_mm.datasets.background import find_background

SIDE = 40


def pixels(box):
    """Image pixels that a box covers: int(x0)..int(x1), both included."""
    covered = np.zeros((SIDE + 2, SIDE + 2), dtype=bool)
    x0, y0, x1, y1 = (int(v) for v in box)
    covered[y0 : y1 + 1, x0 : x1 + 1] = True
    return covered


@st.composite
def inner_boxes(draw):
    corner = st.floats(0, SIDE - 1, width=32)
    x0, y0 = draw(corner), draw(corner)
    w, h = draw(st.floats(1, 30, width=32)), draw(st.floats(1, 30, width=32))
    return [x0, y0, min(x0 + w, SIDE), min(y0 + h, SIDE)]


@settings(max_examples=200, deadline=None)
@given(st.lists(inner_boxes(), min_size=1, max_size=6), st.integers(0, 2**32 - 1))
def test_background_has_the_boxs_size_and_shares_no_pixel_with_any_box(boxes, seed):
    boxes = np.float32(boxes)
    found = find_background(boxes[0], boxes, (SIDE, SIDE), np.random.RandomState(seed))
    if found is None:
        return
    assert found.dtype == np.float32
    np.testing.assert_allclose(found[2:] - found[:2], boxes[0, 2:] - boxes[0, :2], atol=1e-4)
    assert (found >= 0).all()
    assert (found <= SIDE + 1e-4).all()
    assert not any((pixels(found) & pixels(box)).any() for box in boxes)


def test_the_first_free_try_is_taken():
    box, tries = np.float32([0, 0, 10, 10]), np.random.RandomState(3).random_sample((20, 2)) * 30
    x, y = next(corner for corner in tries if np.floor(corner).max() > 10)
    found = find_background(box, box[None], (40, 40), np.random.RandomState(3))
    np.testing.assert_allclose(found, [x, y, x + 10, y + 10], rtol=1e-6)


@pytest.mark.parametrize(
    ('box', 'others', 'image_hw'),
    [
        ([0, 0, 30, 30], [], (40, 40)),  # no place that the box itself does not touch
        ([0, 0, 5, 5], [[0, 0, 40, 40]], (40, 40)),  # another box fills the image
        ([0, 0, 41, 5], [], (40, 40)),  # wider than the image
        ([0, 0, 5, 41], [], (40, 100)),
    ],
)
def test_without_room_there_is_no_background(box, others, image_hw):
    box = np.float32(box)
    boxes = np.float32([box, *others])
    assert find_background(box, boxes, image_hw, np.random.RandomState(0)) is None


def test_broken_boxes_are_no_obstacle():
    box = np.float32([0, 0, 5, 5])
    boxes = np.float32([box, [np.nan] * 4])
    assert find_background(box, boxes, (40, 40), np.random.RandomState(0)) is not None


# -- in RoIDataset ------------------------------------------------------------------------------


@pytest.fixture
def make_dataset(make_coco, pipeline):
    def make(**config):
        coco = make_coco([[[1, 2, 12, 10], [40, 5, 15, 30]], [[0, 0, 9, 8]]])  # 60 x 40 images
        return RoIDataset(coco, pipeline, **config)

    return make


def test_ratio_1_moves_every_box_and_0_none(make_dataset):
    plain, moved = make_dataset(), make_dataset(background_ratio=1.0)
    np.random.seed(0)
    for i in range(3):
        here, there = plain[i]['data_samples'], moved[i]['data_samples']
        assert (here.is_background, there.is_background) == (False, True)
        assert (here.ann_id, there.ann_id) == (i + 1, None)
        assert (here.img_id, here.box_area, here.box_index) == (
            there.img_id,
            there.box_area,
            there.box_index,
        )
        assert here.box.tolist() == plain.boxes_xyxy[i].tolist()
        assert there.box.tolist() != here.box.tolist()
        # the crop shows the new place: the box in it is the one that the sample names
        assert len(there.gt_instances.bboxes) == 1
        assert there.window[0] <= there.box[0] < there.box[2] <= there.window[2]
    assert plain.boxes_xyxy.tolist() == moved.boxes_xyxy.tolist()


def test_the_share_of_background_is_the_ratio(make_dataset):
    dataset = make_dataset(background_ratio=0.25)
    np.random.seed(0)
    background = [dataset.get_sample(i % 3)['is_background'] for i in range(2000)]
    assert abs(np.mean(background) - 0.25) < 0.03


def painted_dataset(folder, expansion):
    """20 black images, each with 2 boxes, a crowd and a box across the border, all white."""
    random = np.random.RandomState(0)
    images, annotations = [], []
    for number in range(20):
        pixels = np.zeros((SIDE, SIDE, 3), dtype=np.uint8)
        boxes = np.hstack([random.uniform(0, SIDE - 4, (3, 2)), random.uniform(3, 14, (3, 2))])
        for bbox in (*boxes.tolist(), [random.uniform(-9, 35), -4, 10, 8.5]):
            x0, y0, x1, y1 = bbox[0], bbox[1], bbox[0] + bbox[2], bbox[1] + bbox[3]
            pixels[max(int(y0), 0) : int(y1) + 1, max(int(x0), 0) : int(x1) + 1] = 255
            annotation = {'id': len(annotations), 'image_id': number, 'category_id': 1}
            is_crowd = int(bbox == boxes[2].tolist())
            annotations.append({**annotation, 'bbox': bbox, 'iscrowd': is_crowd})
        name = f'{number}.png'
        Image.fromarray(pixels).save(folder / name)
        images.append({'id': number, 'file_name': name, 'width': SIDE, 'height': SIDE})
    categories = [{'id': 1, 'name': 'cat'}]
    (folder / 'ann.json').write_text(
        json.dumps({'images': images, 'annotations': annotations, 'categories': categories})
    )
    pipeline = [
        {'type': 'LoadImageFromFile', 'imdecode_backend': 'pillow'},
        {'type': 'RoICrop', 'crop_size': 16, 'expansion': expansion},
        {'type': 'RandomFlip', 'prob': 0.5},
        {'type': 'PackRoIInputs'},
    ]
    boxes = {'type': 'CocoBoxDataset', 'data_root': str(folder), 'ann_file': 'ann.json'}
    return RoIDataset(boxes, pipeline, background_ratio=0.8, views_per_box=4)


@pytest.mark.parametrize('expansion', ['released', 'tight'])
def test_no_crop_of_background_shows_a_pixel_of_any_box(tmp_path, expansion):
    negatives, positives = [], []
    for sample in painted_dataset(tmp_path, expansion):
        of_its_kind = negatives if sample['data_samples'].is_background else positives
        of_its_kind.append(sample['inputs'].max().item())
    assert len(negatives) > 100
    assert max(negatives) == 0
    assert min(positives) > 200


def test_crowds_and_small_boxes_are_no_background(make_dataset):
    dataset = make_dataset(background_ratio=1.0, min_area=150)
    assert dataset.box_index.tolist() == [1]  # the 12 x 10 box is filtered out, and still there
    small = np.float32([1, 2, 13, 12])
    for _ in range(100):
        x0, y0, x1, y1 = dataset.get_sample(0)['box']
        assert not (x0 < small[2] and x1 > small[0] and y0 < small[3] and y1 > small[1])


def test_fixed_views_have_fixed_backgrounds(make_dataset):
    dataset = make_dataset(background_ratio=0.5, views_per_box=4)
    draws = [[dataset[i]['data_samples'].box.tolist() for i in range(12)] for _ in range(2)]
    assert draws[0] == draws[1]
    assert len({tuple(box) for box in draws[0]}) > 3


def test_images_of_unknown_size_keep_their_boxes(make_dataset):
    dataset = make_dataset(background_ratio=1.0)
    info = {**dataset.dataset.get_data_info(0), 'width': None}
    dataset.dataset.get_data_info = lambda index: info
    assert not dataset.get_sample(0)['is_background']


@pytest.mark.parametrize('ratio', [-0.1, 1.5, float('nan')])
def test_the_ratio_must_be_a_share(make_dataset, ratio):
    with pytest.raises(ValueError, match=r'`background_ratio` must lie in \[0, 1\], got'):
        make_dataset(background_ratio=ratio)
