"""Which evaluation of a run is taken, and what is kept of the reference's AP."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from mal_mm.evaluation.retention import (
    NoEvaluationError,
    compare,
    format_markdown,
    read_evaluation,
    retention,
    write_csv,
)

COCO_KEYS = ('mAP', 'mAP_50', 'mAP_75', 'mAP_s', 'mAP_m', 'mAP_l')


def coco(step, *values, kind='segm'):
    """A line of validation as mmengine logs it, AP alone or all six."""
    named = {f'coco/{kind}_{key}': v for key, v in zip(COCO_KEYS, values, strict=False)}
    return {**named, 'data_time': 0.1, 'time': 0.2, 'step': step}


def write_log(folder, start, *rows):
    file = folder / start / 'vis_data' / 'scalars.json'
    file.parent.mkdir(parents=True)
    train = {'lr': 0.1, 'loss': 2.0, 'time': 0.5, 'epoch': 1, 'iter': 50, 'step': 50}
    file.write_text('\n'.join(json.dumps(row) for row in (train, *rows)))
    return file


def test_retention_is_undefined_where_the_reference_is_zero_or_unknown():
    reference = {'AP': 0.4, 'AP50': 0.0, 'APs': None, 'APl': 0.5}
    kept = retention({'AP': 0.3, 'AP50': 0.2, 'APs': 0.1}, reference)
    assert kept == pytest.approx({'AP': 75.0, 'AP50': None, 'APs': None, 'APl': None})


def test_the_last_validation_counts_or_the_best_one(tmp_path):
    write_log(
        tmp_path, '20260101_000000', *(coco(n, v) for n, v in ((1, 0.2), (2, 0.3), (3, 0.1)))
    )
    last, best = read_evaluation(tmp_path), read_evaluation(tmp_path, best=True)
    assert (last.step, last.scores) == (3, {'segm': {'AP': 0.1}})
    assert (best.step, best.scores) == (2, {'segm': {'AP': 0.3}})
    assert best.source == f'{tmp_path}, step 2, the best of 3 validations'


def test_what_a_resumed_run_does_again_counts_once(tmp_path):
    write_log(
        tmp_path, '20260101_000000', *(coco(n, v) for n, v in ((1, 0.1), (2, 0.9), (3, 0.2)))
    )
    write_log(tmp_path, '20260102_000000', coco(2, 0.3), coco(3, 0.4))
    write_log(tmp_path, '20260103_000000')  # stopped before it had validated
    assert read_evaluation(tmp_path).step == 3
    best = read_evaluation(tmp_path, best=True)
    assert best.scores == {'segm': {'AP': 0.4}}
    assert best.source.endswith('step 3, the best of 3 validations')


def test_training_that_counts_iterations_logs_each_validation_as_of_step_0(tmp_path):
    trained = [{'loss': 1.0, 'iter': n, 'step': n} for n in (800, 1600)]
    first, second = coco(0, 0.2), coco(0, 0.1)
    write_log(tmp_path, '20260101_000000', trained[0], first, trained[1], second)
    assert read_evaluation(tmp_path).step == 1600
    assert read_evaluation(tmp_path, best=True).step == 800


def test_sizes_without_instances_are_unknown_and_lvis_has_frequencies(tmp_path):
    file = write_log(tmp_path, 'a', coco(1, 0.5, 0.6, 0.7, -1.0, 0.8, float('nan')))
    assert read_evaluation(file).scores == {
        'segm': {'AP': 0.5, 'AP50': 0.6, 'AP75': 0.7, 'APs': None, 'APm': 0.8, 'APl': None}
    }
    names = ('AP', 'AP50', 'AP75', 'APs', 'APm', 'APl', 'APr', 'APc', 'APf')
    row = {f'lvis/{kind}_{n}': 0.01 * i for kind in ('bbox', 'segm') for i, n in enumerate(names)}
    file.write_text(json.dumps({**row, 'dog_precision': 0.3}))
    found = read_evaluation(file)
    assert (found.benchmark, list(found.scores)) == ('LVIS', ['segm', 'bbox'])
    assert found.scores['segm'] == {name: 0.01 * i for i, name in enumerate(names)}


def test_a_work_dir_of_tests_gives_the_newest(tmp_path):
    for start, value in (('20260101_000000', 0.1), ('20260102_000000', 0.2)):
        folder = tmp_path / start
        folder.mkdir()
        metrics = {'coco/segm_mAP': value, 'coco/bbox_mAP': 0.5, 'data_time': 0.1, 'time': 0.1}
        (folder / f'{start}.json').write_text(json.dumps(metrics, indent=2))
    found = read_evaluation(tmp_path)
    assert found.scores == {'segm': {'AP': 0.2}, 'bbox': {'AP': 0.5}}
    assert found.step is None and found.source.endswith('20260102_000000.json, a test')
    write_log(tmp_path, '20251231_000000', coco(12, 0.15))
    assert read_evaluation(tmp_path).step == 12  # a training's own validation goes before


@pytest.fixture
def results(tmp_path):
    """Two squares, of which results find one."""
    rles = []
    for left in (0, 50):
        mask = np.zeros((100, 100), order='F', dtype=np.uint8)
        mask[:40, left : left + 40] = 1
        rle = coco_mask.encode(mask)
        rles.append({**rle, 'counts': rle['counts'].decode()})
    boxes = [[0, 0, 40, 40], [50, 0, 40, 40]]
    gt = {
        'images': [{'id': 1, 'file_name': 'a.jpg', 'height': 100, 'width': 100}],
        'annotations': [
            {'id': i, 'image_id': 1, 'category_id': 1, 'bbox': box, 'area': 1600, 'iscrowd': 0,
             'segmentation': rle}
            for i, (box, rle) in enumerate(zip(boxes, rles, strict=True), 1)
        ],
        'categories': [{'id': 1, 'name': 'square'}],
    }  # fmt: skip
    found = {'image_id': 1, 'category_id': 1, 'score': 0.9}
    files = {
        'gt': gt,
        'segm': [{**found, 'segmentation': rles[0]}],
        'bbox': [{**found, 'bbox': boxes[0]}],
    }
    for name, content in files.items():
        (tmp_path / f'{name}.json').write_text(json.dumps(content))
    return tmp_path


@pytest.mark.parametrize('kind', ['segm', 'bbox'])
def test_coco_results_are_scored_with_the_human_masks(results, kind):
    found = read_evaluation(results / f'{kind}.json', gt_ann=results / 'gt.json')
    # half of the objects, found first: precision 1 at the recalls 0, 0.01, ... 0.5
    half = pytest.approx(51 / 101)
    expected = {'AP': half, 'AP50': half, 'AP75': half, 'APs': None, 'APm': half, 'APl': None}
    assert found.scores == {kind: expected}


def test_a_run_that_cannot_be_used_is_refused_with_the_cure(results, tmp_path):
    training = write_log(tmp_path, 'a')
    with pytest.raises(NoEvaluationError, match='no evaluation found'):
        read_evaluation(training)
    (tmp_path / 'two.json').write_text('{"a/segm_mAP": 0.1, "b/segm_mAP": 0.2}')
    (tmp_path / 'run.log').write_text('2026/01/01 - INFO\n2026/01/01 - INFO\n')
    (tmp_path / 'out.pkl').write_bytes(b'\x80\x04\x95\xff\xfe')
    (tmp_path / 'none.json').write_text('[]')
    lvis = json.loads((results / 'gt.json').read_text())
    lvis['images'][0]['neg_category_ids'] = []
    (tmp_path / 'lvis.json').write_text(json.dumps(lvis))
    for name, gt_ann, reason in (
        ('two.json', None, 'has segm AP twice'),
        ('run.log', None, 'no log of JSON lines .* give a work dir'),
        ('out.pkl', None, 'no log of JSON lines'),
        ('segm.json', None, '--gt-ann'),
        ('segm.json', 'lvis.json', 'LVIS counts AP otherwise'),
        ('none.json', 'gt.json', 'holds no detections'),
    ):
        with pytest.raises(ValueError, match=reason):
            read_evaluation(tmp_path / name, gt_ann=gt_ann and tmp_path / gt_ann)
    with pytest.raises(FileNotFoundError, match='nowhere does not exist'):
        read_evaluation(tmp_path / 'nowhere')


def test_runs_that_were_evaluated_otherwise_are_not_compared(tmp_path):
    files = {'coco': coco(1, 0.5), 'lvis': {'lvis/segm_AP': 0.5}, 'box': {'coco/bbox_mAP': 0.5}}
    runs = {}
    for name, row in files.items():
        (tmp_path / f'{name}.json').write_text(json.dumps(row))
        runs[name] = read_evaluation(tmp_path / f'{name}.json')
    with pytest.raises(ValueError, match='GT was evaluated by the rules of COCO'):
        compare({'GT': runs['coco'], 'MAL': runs['lvis']})
    with pytest.raises(ValueError, match=r'GT has AP of segm .*, MAL of bbox'):
        compare({'GT': runs['coco'], 'MAL': runs['box']})


def test_the_table_and_the_csv_of_three_runs(tmp_path):
    rows = {
        'GT': {**coco(1, 0.4, 0.5, 0.6, -1, 0.0, 0.8), **coco(1, 0.5, kind='bbox')},
        'MAL': coco(1, 0.38, 0.45, 0.3, -1, 0.1, 0.7),
        'box fill': coco(1, 0.2, 0.5, 0.0, -1, 0.0, 0.1),
    }
    runs = {}
    for name, row in rows.items():
        (tmp_path / 'log.json').write_text(json.dumps(row))
        runs[name] = read_evaluation(tmp_path / 'log.json')
    lines = compare(runs)
    assert format_markdown(lines).splitlines() == [
        '| segm | AP | AP50 | AP75 | APs | APm | APl |',
        '| --- | --: | --: | --: | --: | --: | --: |',
        '| GT | 40.0 | 50.0 | 60.0 | - | 0.0 | 80.0 |',
        '| MAL | 38.0 | 45.0 | 30.0 | - | 10.0 | 70.0 |',
        '| MAL / GT, % | 95.0 | 90.0 | 50.0 | - | - | 87.5 |',
        '| box fill | 20.0 | 50.0 | 0.0 | - | 0.0 | 10.0 |',
        '| box fill / GT, % | 50.0 | 100.0 | 0.0 | - | - | 12.5 |',
        '',
        '| bbox | AP | AP50 | AP75 | APs | APm | APl |',
        '| --- | --: | --: | --: | --: | --: | --: |',
        '| GT | 50.0 | - | - | - | - | - |',
        '| MAL | - | - | - | - | - | - |',
        '| MAL / GT, % | - | - | - | - | - | - |',
        '| box fill | - | - | - | - | - | - |',
        '| box fill / GT, % | - | - | - | - | - | - |',
    ]
    text = io.StringIO()
    write_csv(lines, text)
    assert text.getvalue().splitlines()[:4] == [
        'kind,run,measure,AP,AP50,AP75,APs,APm,APl',
        'segm,GT,AP,40.0,50.0,60.0,,0.0,80.0',
        'segm,MAL,AP,38.0,45.0,30.0,,10.0,70.0',
        'segm,MAL,retention,95.0,90.0,50.0,,,87.5',
    ]
