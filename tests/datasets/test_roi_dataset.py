import gc
import math
import re
import tracemalloc

import numpy as np
import pytest
import torch
from mmdet.registry import DATASETS
from mmdet.utils import register_all_modules

import mal_mm  # noqa: F401
from mal_mm.datasets import RoIDataset
from mal_mm.datasets.random_state import numpy_seed


def build(dataset, pipeline, **config):
    return RoIDataset(dataset, pipeline, **config)


class BoxesOnTheFly:
    """A wrapped dataset that holds nothing: every image gives the same boxes when asked."""

    metainfo = {'classes': ('thing',)}  # noqa: RUF012

    def __init__(self, num_images, boxes, **fields):
        self.num_images = num_images
        self.instances = [
            {'bbox': box, 'bbox_label': 0, 'ignore_flag': 0, **fields} for box in boxes
        ]

    def full_init(self):
        pass

    def __len__(self):
        return self.num_images

    def get_data_info(self, index):
        return {'img_path': f'{index}.jpg', 'img_id': index, 'instances': self.instances}


def same(first, second):
    """Whether two packed samples show the same pixels and box."""
    boxes = [sample['data_samples'].gt_instances.bboxes.tensor for sample in (first, second)]
    return bool((first['inputs'] == second['inputs']).all() and (boxes[0] == boxes[1]).all())


# -- what becomes a sample ----------------------------------------------------------------------


def test_every_box_becomes_a_sample_that_knows_where_it_comes_from(make_coco, pipeline):
    dataset = build(make_coco([[[1, 2, 30, 20], [5, 5, 10, 10]], [[0, 0, 9, 8]]]), pipeline)
    assert len(dataset) == 3
    assert dataset.metainfo['classes'] == ('dog', 'cat')
    samples = [dataset[i]['data_samples'] for i in range(3)]
    assert [(s.img_id, s.box_index, s.box_area) for s in samples] == [
        (10, 0, 600),
        (10, 1, 100),
        (11, 0, 72),
    ]
    assert [s.gt_instances.labels.tolist() for s in samples] == [[1], [1], [1]]
    assert [s.ann_id for s in samples] == [1, 2, 3]
    assert not any(s.is_background for s in samples)
    assert dataset[0]['inputs'].shape == (3, 16, 16)
    with pytest.raises(IndexError):
        dataset[3]


def test_mmdets_coco_dataset_is_wrapped(make_coco, pipeline):
    boxes = [[[1, 2, 30, 20], [5, 5, 10, 10]], [[0, 0, 9, 8]]]
    extra = {'area': 1, 'segmentation': [[0, 0, 9, 0, 9, 9]]}
    ours = build(make_coco(boxes), pipeline, views_per_box=1)
    classes = {'classes': ('dog', 'cat')}
    theirs = build(
        make_coco(boxes, 'CocoDataset', extra, metainfo=classes), pipeline, views_per_box=1
    )
    assert len(theirs) == 3
    assert theirs[0]['data_samples'].ann_id is None  # mmdet does not keep it
    assert all(same(ours[i], theirs[i]) for i in range(3))


def test_mmdets_xml_dataset_is_wrapped(make_coco, pipeline, tmp_path):
    make_coco([[]])  # for its image
    (tmp_path / 'Annotations').mkdir()
    box = '<bndbox><xmin>11</xmin><ymin>6</ymin><xmax>31</xmax><ymax>26</ymax></bndbox>'
    (tmp_path / 'Annotations' / '0.xml').write_text(
        '<annotation><size><width>60</width><height>40</height></size>'
        f'<object><name>cat</name>{box}</object>'
        f'<object><name>dog</name><difficult>1</difficult>{box}</object></annotation>'
    )
    (tmp_path / 'train.txt').write_text('0\n')
    config = {
        'type': 'XMLDataset',
        'ann_file': str(tmp_path / 'train.txt'),
        'img_subdir': 'images',
        'data_prefix': {'sub_data_root': str(tmp_path)},
        'metainfo': {'classes': ('dog', 'cat')},
    }
    dataset = build(config, pipeline)
    assert dataset.boxes_xyxy.tolist() == [[10, 5, 30, 25]]  # VOC counts from 1
    assert dataset.labels.tolist() == [1]
    assert dataset[0]['inputs'].shape == (3, 16, 16)


def test_concatenated_datasets_are_wrapped(make_coco, pipeline):
    register_all_modules(init_default_scope=False)
    part = make_coco([[[1, 2, 30, 20]], [[0, 0, 9, 8]]])
    dataset = build({'type': 'ConcatDataset', 'datasets': [part, part]}, pipeline)
    assert dataset.boxes_xyxy.tolist() == 2 * [[1, 2, 31, 22], [0, 0, 9, 8]]
    assert dataset[3]['data_samples'].img_id == 11


def test_it_registers_with_mmdet(make_coco, pipeline):
    dataset = DATASETS.build(
        {'type': 'RoIDataset', 'dataset': make_coco([[[1, 2, 30, 20]]]), 'pipeline': pipeline}
    )
    assert isinstance(dataset, RoIDataset)


def test_a_lazy_dataset_reads_its_boxes_when_they_are_needed(make_coco, pipeline):
    config = make_coco([[[1, 2, 30, 20]]], lazy_init=True)
    dataset = build(config, pipeline, lazy_init=True)
    assert not hasattr(dataset, 'boxes_xyxy')
    assert len(dataset) == 1
    dataset = build(config, pipeline, lazy_init=True)
    assert dataset[0]['data_samples'].box_area == 600


@pytest.mark.parametrize('dataset_type', ['CocoBoxDataset', 'CocoDataset'])
def test_segmentations_are_never_read(make_coco, pipeline, dataset_type):
    boxes, classes = [[[1, 2, 30, 20]]], {'metainfo': {'classes': ('dog', 'cat')}}
    samples = [
        build(
            make_coco(boxes, dataset_type, {'area': 9, **segmentation}, **classes),
            pipeline,
            views_per_box=1,
        )[0]
        for segmentation in ({}, {'segmentation': {'counts': 'x', 'size': [None]}})
    ]
    assert same(*samples)
    assert 'masks' not in samples[1]['data_samples'].gt_instances


# -- filters ------------------------------------------------------------------------------------


def test_filters_keep_larger_boxes_and_count_the_others(log):
    boxes = [
        [0, 0, 64, 32],  # exactly 2048 px^2: not larger
        [0, 0, 64, 32.001],
        [0, 0, 2, 5000],  # a side of exactly 2
        [0, 0, 2.001, 5000],
    ]
    wrapped = BoxesOnTheFly(3, boxes)
    dataset = RoIDataset(wrapped, [], min_area=2048, min_side=2)
    assert dataset.box_index.tolist() == [1, 3] * 3
    assert dataset.image_index.tolist() == [0, 0, 1, 1, 2, 2]
    (message,) = [m for m in log if 'RoIDataset' in m]
    assert '6 of 12 boxes in 3 images' in message
    assert '6 with area <= 2048 px^2 or a side <= 2 px' in message


def test_boxes_that_are_none_are_dropped_and_said(log):
    nan, inf = math.nan, math.inf
    boxes = [[0, 0, 9, 9], [0, 0, nan, 9], [0, -inf, 9, 9], [0, 0, 1e300, 9]]
    boxes += [[5, 5, 5, 9], [5, 5, 3, 9]]
    dataset = RoIDataset(BoxesOnTheFly(2, boxes), [])
    assert dataset.boxes_xyxy.tolist() == [[0, 0, 9, 9]] * 2
    assert '2 of 12 boxes in 2 images, dropped: 6 not finite, 4 without extent' in log[-1]


def test_crowds_are_dropped_and_said(log):
    wrapped = BoxesOnTheFly(1, [[0, 0, 9, 9], [0, 0, 8, 8]])
    wrapped.instances[0]['ignore_flag'] = 1
    dataset = RoIDataset(wrapped, [])
    assert dataset.box_index.tolist() == [1]
    assert '1 of 2 boxes in 1 images, dropped: 1 crowds or ignored' in log[-1]


def test_no_box_left_is_an_error_that_names_the_cure():
    wrapped = BoxesOnTheFly(4, [[0, 0, 9, 9]])
    with pytest.raises(ValueError, match=r'4 boxes in 4 images, .*81 px\^2.*; lower `min_area`'):
        RoIDataset(wrapped, [], min_area=81)
    with pytest.raises(ValueError, match='0 boxes in 4 images, dropped: none; check `ann_file`'):
        RoIDataset(BoxesOnTheFly(4, []), [])
    with pytest.raises(ValueError, match='4 without extent; check `ann_file`'):
        RoIDataset(BoxesOnTheFly(4, [[3, 3, 3, 3]]), [])


def test_a_quarter_of_a_million_boxes_cost_7_megabytes_and_no_objects():
    boxes = [[float(i), 0.0, i + 20.0, 30.0] for i in range(100)]
    wrapped = BoxesOnTheFly(2500, boxes, mask=[[0.0] * 100])
    gc.collect()
    objects = len(gc.get_objects())
    tracemalloc.start()
    dataset = RoIDataset(wrapped, [], min_area=1)
    held, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    gc.collect()
    assert len(dataset) == 250_000
    assert held < 7.5e6
    assert peak < 25e6
    assert len(gc.get_objects()) - objects < 200
    arrays = [dataset.boxes_xyxy, dataset.image_index, dataset.labels, dataset.box_index]
    assert sum(array.nbytes for array in arrays) == 7_000_000
    assert dataset.get_sample(249_999)['box'].tolist() == [99, 0, 119, 30]


# -- images that cannot be read -----------------------------------------------------------------


def truncate(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize(
    ('harm', 'reason'),
    [
        (lambda path: path.unlink(), 'FileNotFoundError'),
        (truncate, 'OSError: .*truncated'),
        (lambda path: path.write_bytes(b''), 'UnidentifiedImageError'),
        (lambda path: path.write_text('a web page'), 'UnidentifiedImageError'),
    ],
)
def test_an_unreadable_image_is_named_once_and_another_sample_comes(
    make_coco, pipeline, tmp_path, log, harm, reason
):
    dataset = build(make_coco([[[1, 2, 30, 20]] * 2, [[0, 0, 9, 8]]]), pipeline)
    path = tmp_path / 'images' / '0.jpg'
    harm(path)
    assert dataset[0]['data_samples'].img_id == 11
    assert dataset[1]['data_samples'].img_id == 11
    (warning,) = [message for message in log if 'cannot read' in message]
    assert warning.startswith(f'WARNING: cannot read {path} (')
    assert re.search(reason, warning)


def test_a_damaged_header_is_an_unreadable_image(make_coco, pipeline, tmp_path, log):
    dataset = build(make_coco([[[1, 2, 30, 20]], [[0, 0, 9, 8]]]), pipeline)
    # a bitmap of 60000 x 60000 pixels in 54 bytes: Pillow refuses it as a decompression bomb
    header = bytearray(54)
    header[:2], header[10], header[14], header[26], header[28] = b'BM', 54, 40, 1, 24
    header[18:22] = header[22:26] = (60000).to_bytes(4, 'little')
    (tmp_path / 'images' / '0.jpg').write_bytes(header)
    assert dataset[0]['data_samples'].img_id == 11
    assert 'DecompressionBombError' in log[-1]


def test_many_boxes_of_one_bad_image_do_not_stop_the_training(make_coco, pipeline, tmp_path):
    dataset = build(make_coco([[[1, 2, 30, 20]] * 60, [[0, 0, 9, 8]] * 10]), pipeline)
    (tmp_path / 'images' / '0.jpg').unlink()
    assert all(dataset[i]['data_samples'].img_id == 11 for i in range(0, 60, 7))


@pytest.mark.parametrize('length', [*range(1, 23), 61, 122, 1000])
def test_other_samples_are_tried_without_repetition(length):
    dataset = RoIDataset(BoxesOnTheFly(length, [[0, 0, 9, 9]]), [])
    tried = {dataset._step * k % length for k in range(21)}
    assert len(tried) == min(21, length)
    # spread out: no stretch of a fifth of the samples is left untouched
    gaps = np.diff([*sorted(tried), min(tried) + length])
    assert gaps.max() <= max(length / 5, 1)


def test_no_readable_image_at_all_is_an_error(make_coco, pipeline, tmp_path, log):
    dataset = build(make_coco([[[1, 2, 30, 20]], [[0, 0, 9, 8]]]), pipeline, max_refetch=3)
    for name in ('0.jpg', '1.jpg'):
        (tmp_path / 'images' / name).unlink()
    with pytest.raises(OSError, match=r'4 images in a row cannot be read.*1\.jpg; check `data_r'):
        dataset[0]
    assert len([message for message in log if 'cannot read' in message]) == 2


def test_faults_of_the_pipeline_are_not_taken_for_bad_images(make_coco):
    dataset = build(make_coco([[[1, 2, 30, 20]]]), [{'type': 'RoICrop'}])
    with pytest.raises(KeyError, match='img'):
        dataset[0]


# -- fixed views --------------------------------------------------------------------------------


def test_fixed_views_are_the_same_every_epoch_and_differ_from_each_other(make_coco, pipeline):
    config = make_coco([[[1, 2, 30, 20]], [[0, 0, 9, 8]]])
    dataset = build(config, pipeline, views_per_box=3)
    assert len(dataset) == 6
    first = [dataset[i] for i in range(6)]
    assert [s['data_samples'].img_id for s in first] == [10, 10, 10, 11, 11, 11]
    np.random.seed(99)
    again = [build(config, pipeline, views_per_box=3)[i] for i in reversed(range(6))][::-1]
    assert all(same(a, b) for a, b in zip(first, again, strict=True))
    assert not same(first[0], first[1])
    other = build(config, pipeline, views_per_box=3, seed=1)
    assert not all(same(first[i], other[i]) for i in range(3))


def test_a_fixed_view_is_read_once_and_stays_as_it_was(make_coco, pipeline, tmp_path):
    dataset = build(make_coco([[[1, 2, 30, 20]]]), pipeline, views_per_box=2)
    first = dataset[0]
    pixels = first['inputs'].clone()
    first.clear()  # what a caller does with its sample
    (tmp_path / 'images' / '0.jpg').unlink()
    assert torch.equal(dataset[0]['inputs'], pixels)
    assert set(dataset[0]) == {'inputs', 'data_samples'}


def test_views_beyond_the_memory_they_may_have_are_read_each_time(make_coco, pipeline, tmp_path):
    config = make_coco([[[1, 2, 30, 20]]])
    dataset = build(config, pipeline, views_per_box=2, kept_megabytes=0)
    assert torch.equal(dataset[0]['inputs'], dataset[0]['inputs'])
    (tmp_path / 'images' / '0.jpg').unlink()
    with pytest.raises(OSError, match='cannot be read'):
        dataset[0]


def test_without_fixed_views_each_draw_is_new(make_coco, pipeline):
    dataset = build(make_coco([[[1, 2, 30, 20]]]), pipeline)
    np.random.seed(0)
    assert not same(dataset[0], dataset[0])


def test_fixed_views_leave_numpys_generator_alone(make_coco, pipeline, tmp_path):
    dataset = build(make_coco([[[1, 2, 30, 20]], [[0, 0, 9, 8]]]), pipeline, views_per_box=2)
    np.random.seed(7)
    expected = np.random.rand(3)
    np.random.seed(7)
    dataset[0], dataset[3]
    assert (np.random.rand(3) == expected).all()
    (tmp_path / 'images' / '0.jpg').unlink()
    np.random.seed(7)
    dataset[1]  # not read yet
    assert (np.random.rand(3) == expected).all()


def test_seeds_depend_on_every_part_of_the_key():
    def draw(*key):
        with numpy_seed(*key):
            return np.random.rand()

    assert draw(1, 2, 3) == draw(1, 2, 3)
    assert len({draw(1, 2, 3), draw(1, 3, 2), draw(1, 2), draw(1, 2, 4), draw(0, 2, 3)}) == 5


def test_views_per_box_must_be_positive(make_coco, pipeline):
    with pytest.raises(ValueError, match='`views_per_box` must be None or at least 1, got 0'):
        build(make_coco([[[1, 2, 30, 20]]]), pipeline, views_per_box=0)
