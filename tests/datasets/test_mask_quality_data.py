"""Quality on its way from the annotation file through mmdet's transforms to the data sample."""

import json

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mmdet.datasets import LVISV1Dataset
from mmdet.registry import DATASETS

from mal_mm.datasets import MaskQualityLVISV1Dataset
from mal_mm.datasets.transforms.quality_labels import join_quality, split_quality
from mal_mm.formats import AnnotationError

SIDE = 48
CLASSES = ('a', 'b', 'c')


@given(st.lists(st.tuples(st.integers(-1, 100_000), st.integers(0, 10_000))))
def test_labels_and_four_digits_of_quality_survive_each_other(pairs):
    labels = np.array([label for label, _ in pairs], dtype=np.int64)
    quality = np.array([step / 10_000 for _, step in pairs])
    labels_again, quality_again = split_quality(join_quality(labels, quality))
    np.testing.assert_array_equal(labels_again, labels)
    np.testing.assert_array_equal(quality_again, quality.astype(np.float32))  # == a threshold


@pytest.fixture
def grey_file(tmp_path):
    """4 images of 6 rectangles, each of its own grey; quality is grey / 250, label grey % 3."""
    rng = np.random.default_rng(0)
    images, annotations = [], []
    for image_id in range(1, 5):
        picture = np.zeros((SIDE, SIDE, 3), np.uint8)
        for cell, grey in enumerate(rng.choice(np.arange(40, 251), 6, replace=False).tolist()):
            x, y = 16 * (cell % 3) + 2, 24 * (cell // 3) + 2
            w, h = rng.integers(8, 13, 2).tolist()
            picture[y : y + h, x : x + w] = grey
            polygon = [x, y, x + w, y, x + w, y + h, x, y + h]
            annotations.append(
                dict(
                    id=len(annotations) + 1,
                    image_id=image_id,
                    category_id=grey % 3 + 1,
                    bbox=[x, y, w, h],
                    area=w * h,
                    iscrowd=0,
                    segmentation=[polygon],
                    mal_quality=grey / 250,
                )
            )
        images.append(dict(id=image_id, file_name=f'{image_id}.png', width=SIDE, height=SIDE))
        cv2.imwrite(str(tmp_path / f'{image_id}.png'), picture)
    categories = [dict(id=k + 1, name=name) for k, name in enumerate(CLASSES)]
    data = dict(images=images, annotations=annotations, categories=categories)
    return tmp_path, data


def dataset(grey_file, pipeline=(), **settings):
    root, data = grey_file
    (root / 'mal.json').write_text(json.dumps(data))
    return DATASETS.build(
        dict(
            type='mmdet.MaskQualityCocoDataset',
            data_root=str(root),
            ann_file='mal.json',
            data_prefix={'img': ''},
            metainfo={'classes': CLASSES},
            pipeline=list(pipeline),
            **settings,
        )
    )


@pytest.mark.parametrize('mix', ['CachedMosaic', 'CopyPaste', None])
def test_quality_stays_with_its_mask_through_mixing_cropping_and_flipping(grey_file, mix):
    mixing = {
        'CachedMosaic': [dict(type='mmdet.CachedMosaic', img_scale=(SIDE, SIDE), pad_val=0)],
        'CopyPaste': [dict(type='mmdet.CopyPaste', max_num_pasted=4, bbox_occluded_thr=0)],
        None: [],
    }[mix]
    inner = dataset(
        grey_file,
        [
            dict(type='LoadImageFromFile'),
            dict(type='mmdet.LoadMaskQualityAnnotations', with_bbox=True, with_mask=True),
        ],
    )
    mixed = DATASETS.build(
        dict(
            type='mmdet.MultiImageMixDataset',
            dataset=inner,
            pipeline=[
                *mixing,
                dict(type='mmdet.RandomCrop', crop_size=(40, 40), recompute_bbox=True),
                dict(type='mmdet.FilterAnnotations', min_gt_bbox_wh=(4, 4), by_mask=True),
                dict(type='mmdet.RandomFlip', prob=0.5, direction=['horizontal', 'vertical']),
                dict(type='mmdet.PackMaskQualityInputs'),
            ],
        )
    )
    np.random.seed(0)
    numbers = []
    for index in range(24):
        packed = mixed[index % 4]
        if packed is None:  # nothing left after the crop
            continue
        found = packed['data_samples'].gt_instances
        image = packed['inputs'][0].numpy()
        greys = [np.median(image[mask > 0]) for mask in found.masks.masks]
        np.testing.assert_array_equal(
            found.mask_quality, np.float32(np.round(np.array(greys) / 250, 4))
        )
        np.testing.assert_array_equal(found.labels, np.array(greys) % 3)
        numbers.append(len(found))
    assert len(set(numbers)) > 2 and sum(numbers) > 50


def test_instances_that_are_left_out_take_their_quality_with_them(grey_file):
    _, data = grey_file
    data['images'], data['annotations'] = data['images'][:1], data['annotations'][:6]
    for annotation, change in zip(
        data['annotations'],
        ({'ignore': 1}, {}, {'category_id': 9}, {'area': 0}, {'iscrowd': 1}, {}),
        strict=True,
    ):
        annotation.update(change)
    last = data['annotations'][5]
    del last['mal_quality']  # a human's mask
    (instances,) = (each['instances'] for each in map(dataset(grey_file).get_data_info, range(1)))
    assert [each['mask_quality'] for each in instances] == [
        data['annotations'][1]['mal_quality'],
        data['annotations'][4]['mal_quality'],
        1.0,
    ]
    assert [each['bbox'][:2] for each in instances] == [
        data['annotations'][k]['bbox'][:2] for k in (1, 4, 5)
    ]


@pytest.mark.parametrize('bad', [-0.1, 1.01, float('nan'), '0.5', None])
def test_a_quality_that_is_none_is_refused(grey_file, bad):
    grey_file[1]['annotations'][2]['mal_quality'] = bad
    with pytest.raises(
        AnnotationError, match=r'annotation 3: `mal_quality` must be .* in \[0, 1\]'
    ):
        dataset(grey_file)


def test_a_file_without_any_quality_is_said(grey_file, log):
    dataset(grey_file)
    assert not any('mal_quality' in message for message in log)
    for annotation in grey_file[1]['annotations']:
        del annotation['mal_quality']
    dataset(grey_file)
    assert any("no annotation has 'mal_quality'" in message for message in log)


def test_lvis_annotations_keep_their_quality():
    lvis = MaskQualityLVISV1Dataset(
        data_prefix={'img': ''}, lazy_init=True
    )  # the reader of files needs the lvis package
    assert isinstance(lvis, LVISV1Dataset)
    lvis.cat_ids, lvis.cat2label = [7], {7: 0}
    annotation = dict(bbox=[1, 1, 5, 5], area=9, category_id=7, mal_quality=0.25)
    image = dict(img_id=1, file_name='1.jpg', width=9, height=9)
    annotations = [{**annotation, 'category_id': 8}, annotation]
    info = lvis.parse_data_info(dict(raw_img_info=image, raw_ann_info=annotations))
    assert [each['mask_quality'] for each in info['instances']] == [0.25]
