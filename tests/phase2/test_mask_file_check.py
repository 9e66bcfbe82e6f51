"""A file whose masks MMDetection would ignore is refused, and the message says how to fix it."""

from __future__ import annotations

import importlib.util
import json
import re
import sys

import pytest
from mmdet.datasets import CocoDataset
from mmdet.datasets.transforms import LoadAnnotations
from mmengine.config import Config

from mal_mm.formats import AnnotationError
from mal_mm.phase2.mask_file_check import MaskFileError, check_mask_file
from mal_mm.phase2.unused_masks import Problem, why_unused

RLE = {'size': [60, 80], 'counts': [600, 20, 4180]}
POLYGON = [[10, 10, 30, 10, 30, 30]]
CLASSES = ('cat', 'dog')
AS_POLYGON = Problem('are RLE', 'poly2mask=True', stops=True)


def annotation(number: int, **changes: object) -> dict:
    """Of image 1, with a box and an RLE; None takes a field out."""
    fields = {
        'id': number,
        'image_id': 1,
        'category_id': 2,
        'bbox': [number, 5, 20, 20],
        'area': 300,
        'iscrowd': 0,
        'segmentation': RLE,
        **changes,
    }
    return {key: value for key, value in fields.items() if value is not None}


def content(*annotations: dict) -> dict:
    return {
        'images': [
            {'id': 1, 'file_name': '1.png', 'width': 80, 'height': 60},
            {'id': 2, 'file_name': '2.png', 'width': 80, 'height': 31},
        ],
        'annotations': list(annotations),
        'categories': [
            {'id': i, 'name': name} for i, name in ((2, 'cat'), (5, 'dog'), (6, 'cow'))
        ],
    }


def pipeline(**options: object) -> list[dict]:
    load = dict(type='LoadAnnotations', with_bbox=True, with_mask=True, **options)
    return [dict(type='LoadImageFromFile'), load, dict(type='PackDetInputs')]


@pytest.fixture
def dataset(tmp_path):
    """dataset(annotations or file content, **dataset settings) -> config of a dataset."""

    def make(data: list | dict, **settings: object) -> dict:
        data = data if isinstance(data, dict) else content(*data)
        (tmp_path / 'masks.json').write_text(json.dumps(data))
        base = dict(
            type='CocoDataset',
            data_root=str(tmp_path),
            ann_file='masks.json',
            metainfo=dict(classes=CLASSES),
            filter_cfg=dict(filter_empty_gt=True, min_size=32),
            pipeline=pipeline(),
        )
        return {**base, **settings}

    return make


def training(dataset: dict, **settings: object) -> Config:
    return Config(dict(train_dataloader=dict(dataset=dataset), **settings))


# what MMDetection leaves out, beside the words that say so
LEFT_OUT = [
    (dict(ignore=1), 'ignore: 1'),
    (dict(bbox=[90, 5, 20, 20]), 'outside their image'),
    (dict(bbox=[10, 5, 0, 20]), 'outside their image'),
    (dict(area=0), 'an area of 0'),
    (dict(area=0, mal_skipped='no such image'), 'could not be labelled'),
    (dict(bbox=[10, 5, 0.5, 20]), 'narrower or lower than 1 px'),
    (dict(category_id=6), "none of the dataset's classes"),
    (dict(image_id=2), 'smaller than `filter_cfg.min_size`'),
    (dict(image_id=3), 'no image of the file'),
    (dict(iscrowd=1), 'are crowds'),
    (dict(segmentation=[[10, 10, 30, 10]]), 'neither RLE nor a polygon'),
    (dict(segmentation={'counts': 'Pg1'}), 'neither RLE nor a polygon'),
]
# what ends training in a KeyError
STOPS = [
    (dict(area=None), 'have no `area`'),
    (dict(segmentation=None), 'have no `segmentation`'),
    (dict(segmentation=[]), 'have no `segmentation`'),
    (dict(bbox=None), 'have no `bbox`'),
]


def taken_by_mmdet(config: dict, poly2mask: bool) -> set[float]:
    """Left sides (the ids) of the boxes whose masks MMDetection would train on."""
    settings = {key: value for key, value in config.items() if key not in ('type', 'pipeline')}
    load = LoadAnnotations(with_mask=True, poly2mask=poly2mask)
    left = set()
    for sample in CocoDataset(**settings, data_prefix=dict(img=''), pipeline=[]):
        loaded = load({**sample, 'ori_shape': (60, 80)})
        left |= set(loaded['gt_bboxes'].tensor[~loaded['gt_ignore_flags'], 0].tolist())
    return left


@pytest.mark.parametrize('poly2mask', [True, False])
def test_mmdet_takes_what_the_check_takes_and_no_more(dataset, poly2mask):
    good = [
        {},
        dict(category_id=5),
        dict(segmentation=POLYGON),
        dict(segmentation=[[1], *POLYGON]),
    ]
    # `ignore: 0`, an area of the box and a box that reaches beyond its image are fine
    good += [dict(ignore=0), dict(area=1e4), dict(bbox=[7, 5, 200, 20])]
    changes = [*good, *(each for each, _ in LEFT_OUT)]
    annotations = [annotation(number, **each) for number, each in enumerate(changes, 1)]
    data = content(*annotations)
    images = {image['id']: image for image in data['images']}
    rle = None if poly2mask else AS_POLYGON
    problems = [why_unused(each, images, {2, 5}, 32, rle) for each in annotations]
    taken = {a['bbox'][0] for a, p in zip(annotations, problems, strict=True) if p is None}
    assert taken == taken_by_mmdet(dataset(data), poly2mask)
    assert taken == ({1, 2, 3, 4, 5, 6, 7} if poly2mask else {3, 4})
    for problem, (_, words) in zip(problems[len(good) :], LEFT_OUT, strict=True):
        assert words in problem.what


def test_a_file_that_is_used_whole_passes_in_silence(dataset):
    assert check_mask_file(training(dataset([annotation(1), annotation(2)]))) == []


@pytest.mark.parametrize(('changes', 'words'), LEFT_OUT)
def test_a_part_left_out_is_a_warning_with_its_number(dataset, changes, words):
    annotations = [annotation(1), annotation(17, **changes), annotation(18, **changes)]
    (warning,) = check_mask_file(training(dataset(annotations)))
    assert re.search(rf'2 of 3 annotations .*{re.escape(words)}.* \(annotation 17,', warning)
    with pytest.raises(MaskFileError, match=rf'would not use .*{re.escape(words)}.* To fix it: .'):
        check_mask_file(training(dataset(annotations[1:])))


@pytest.mark.parametrize(('changes', 'words'), STOPS)
def test_one_annotation_that_ends_training_refuses_the_file(dataset, changes, words):
    config = dataset([annotation(1), annotation(17, **changes)])
    with pytest.raises(KeyError, match=r'area|mask|bbox'):
        taken_by_mmdet(config, poly2mask=True)
    sentence = (
        rf'would stop at .*masks\.json: 1 of 2 annotations {words} .*\(annotation 17, for one\)'
    )
    with pytest.raises(MaskFileError, match=f'{sentence}.* To fix it: .'):
        check_mask_file(training(config))


def wrapped(inner: dict) -> dict:
    """All the wrappers at once."""
    mixed = dict(type='MultiImageMixDataset', dataset=inner, pipeline=[dict(type='Mosaic')])
    balanced = dict(type='ClassBalancedDataset', oversample_thr=0.1, dataset=mixed)
    repeated = dict(type='RepeatDataset', times=2, dataset=balanced)
    return dict(type='ConcatDataset', datasets=[repeated])


def test_rle_kept_as_polygons_is_refused_and_the_cure_works(dataset):
    # a few human polygons and a crowd, as COCO has them, change nothing
    crowd, human = annotation(1, iscrowd=1), annotation(2, segmentation=POLYGON)
    inner = dataset([crowd, human, annotation(3)], pipeline=pipeline(poly2mask=False))
    late = dict(type='PipelineSwitchHook', switch_epoch=2, switch_pipeline=inner['pipeline'])
    cfg = training(wrapped(inner), custom_hooks=[dict(type='EMAHook'), late])
    with pytest.raises(MaskFileError, match=r'1 of 3 annotations are RLE') as refusal:
        check_mask_file(cfg)
    options = re.search(r'--cfg-options (.*?), or', str(refusal.value))[1].split()
    place = 'train_dataloader.dataset.datasets.0.dataset.dataset.dataset.pipeline.1'
    assert options == [
        f'{place}.poly2mask=True',
        'custom_hooks.1.switch_pipeline.1.poly2mask=True',
    ]
    cfg.merge_from_dict({option.removesuffix('=True'): True for option in options})
    (warning,) = check_mask_file(cfg)
    assert 'crowds' in warning


def test_a_switched_pipeline_alone_is_looked_at_too(dataset):
    late = dict(type='PipelineSwitchHook', switch_pipeline=pipeline(poly2mask=False))
    with pytest.raises(
        MaskFileError, match=r'custom_hooks\.0\.switch_pipeline\.1\.poly2mask=True,'
    ):
        check_mask_file(training(dataset([annotation(1)]), custom_hooks=[late]))


def test_polygons_alone_need_no_bitmaps(dataset):
    polygons = [annotation(1, segmentation=POLYGON), annotation(2, iscrowd=1)]
    (warning,) = check_mask_file(training(dataset(polygons, pipeline=pipeline(poly2mask=False))))
    assert 'crowds' in warning


def test_a_file_without_a_known_category_is_refused(dataset):
    data = content(annotation(1))
    data['categories'] = [{'id': 2, 'name': 'nucleus'}]
    strange = dataset(data, metainfo=None)
    with pytest.raises(
        MaskFileError, match=r"\['nucleus'\] .*'person'.*share no name\. To fix it: "
    ):
        check_mask_file(training(strange))


def test_labels_numbered_otherwise_than_the_classes_are_named(dataset):
    swapped = dataset([annotation(1)], metainfo=dict(classes=('dog', 'cat')))
    (warning,) = check_mask_file(training(swapped))
    assert "'cat' gets the number of 'dog'" in warning


def test_lvis_needs_addresses_and_keeps_every_category(dataset):
    data = content(annotation(1, category_id=6))
    with pytest.raises(MaskFileError, match=r"image 1 has no 'coco_url', which LVISV1Dataset"):
        check_mask_file(training(dataset(data, type='LVISV1Dataset')))
    for image in data['images']:
        image['coco_url'] = f'http://images.cocodataset.org/{image.pop("file_name")}'
    assert check_mask_file(training(dataset(data, type='LVISV1Dataset'))) == []


def test_an_empty_file_is_refused(dataset):
    with pytest.raises(MaskFileError, match=r'masks\.json has no annotations'):
        check_mask_file(training(dataset([])))


def test_pipelines_that_read_boxes_alone_need_no_masks(dataset, repo_root):
    boxes = [dict(type='LoadAnnotations', with_bbox=True)]
    config = dataset([annotation(1, segmentation=None)], pipeline=boxes)
    assert check_mask_file(training(config)) == []
    assert check_mask_file(training({**config, 'ann_file': 'none.json'})) == []
    labeler = Config.fromfile(repo_root / 'configs' / 'mal' / 'vit_mae_base.py')
    assert check_mask_file(labeler) == []
    assert check_mask_file(Config(dict(model=dict(type='SOLOv2')))) == []


def test_a_broken_file_is_named(dataset, tmp_path):
    config = training(dataset([annotation(1)]))
    (tmp_path / 'masks.json').write_text('{"images": [')
    with pytest.raises(AnnotationError, match=r'masks\.json: not valid JSON'):
        check_mask_file(config)


def test_train_tool_refuses_a_missing_file_in_one_line(
    repo_root, dataset, tmp_path, monkeypatch, capsys
):
    config = training(dataset([annotation(1)]), mal_ann_file='typo.json')
    config.train_dataloader.dataset.ann_file = 'typo.json'
    config.dump(tmp_path / 'segmenter.py')
    tool = repo_root / 'tools' / 'train.py'
    spec = importlib.util.spec_from_file_location('train', tool)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(sys, 'argv', [str(tool), str(tmp_path / 'segmenter.py')])
    assert module.main() == 1
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert re.fullmatch(r'train: the annotation file .*typo\.json does not exist; .*', said)
    assert 'generate_pseudo_masks.py' in said and '--cfg-options mal_ann_file=FILE' in said
