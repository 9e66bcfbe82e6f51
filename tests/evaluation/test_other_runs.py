"""Runs of Detectron2 and Ultralytics, in the files that they write."""

from __future__ import annotations

import json

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from mal_mm.evaluation.retention import NoEvaluationError, compare, read_evaluation

pytestmark = pytest.mark.slow  # nothing here depends on the stack

# columns of an Ultralytics 8.3 segmentation run, as its trainer writes them
COLUMNS = (
    'epoch,time,train/box_loss,train/seg_loss,train/cls_loss,train/dfl_loss,'
    'metrics/precision(B),metrics/recall(B),metrics/mAP50(B),metrics/mAP50-95(B),'
    'metrics/precision(M),metrics/recall(M),metrics/mAP50(M),metrics/mAP50-95(M),'
    'val/box_loss,val/seg_loss,val/cls_loss,val/dfl_loss,lr/pg0,lr/pg1,lr/pg2'
)


def epoch(number, *aps):
    """A row with box mAP50, mAP50-95, mask mAP50, mAP50-95."""
    box50, box, mask50, mask = aps
    scores = f'0.7,0.6,{box50},{box},0.7,0.6,{mask50},{mask}'
    return (
        f'{number},{31.5 * number},0.55,1.14,0.65,1.01,{scores},0.67,1.52,1.08,1.08' + 3 * ',0.01'
    )


def write_ultralytics(folder, *rows, header=COLUMNS):
    folder.mkdir(exist_ok=True)
    (folder / 'results.csv').write_text('\n'.join([header, *rows]) + '\n')
    return folder


def write_detectron2(folder, *rows):
    """metrics.json as JSONWriter writes it: a line of losses, then one of each evaluation."""
    losses = {'data_time': 0.008, 'iteration': 19, 'loss_mask': 0.72, 'lr': 0.007, 'time': 0.25}
    folder.mkdir(exist_ok=True)
    lines = [json.dumps({**losses, 'total_loss': 1.9}, sort_keys=True)]
    lines += [json.dumps(row, sort_keys=True) for row in rows]
    (folder / 'metrics.json').write_text('\n'.join(lines) + '\n')
    return folder


def detectron2_row(iteration, segm, bbox=40.0, **more):
    names = ('AP', 'AP50', 'AP75', 'APs', 'APm', 'APl')
    scores = {f'segm/{name}': segm for name in names} | {f'bbox/{name}': bbox for name in names}
    return {**scores, 'segm/APs': float('nan'), 'segm/AP-person': 50.0, 'iteration': iteration,
            **more}  # fmt: skip


# -- Ultralytics ----------------------------------------------------------------------------------


def test_last_and_best_epoch_of_results_csv(tmp_path):
    rows = (
        epoch(1, 0.5, 0.3, 0.45, 0.25),
        epoch(2, 0.7, 0.5, 0.6, 0.4),
        epoch(3, 0.6, 0.4, 0.5, 0.3),
    )
    run = write_ultralytics(tmp_path / 'run', *rows)
    last, best = read_evaluation(run), read_evaluation(run / 'results.csv', best=True)
    assert last.benchmark == 'Ultralytics'
    assert (last.step, last.scores) == (
        3,
        {'segm': {'AP50': 0.5, 'AP': 0.3}, 'bbox': {'AP50': 0.6, 'AP': 0.4}},
    )
    assert (best.step, best.scores['segm']['AP']) == (2, 0.4)


def test_padded_columns_and_what_a_resumed_run_did_again(tmp_path):
    padded = ','.join(f'{name:>23}' for name in COLUMNS.split(','))
    rows = [epoch(1, 0.5, 0.3, 0.4, 0.2), epoch(2, 0.9, 0.9, 0.9, 0.9)]
    rows += [epoch(2, 0.6, 0.4, 0.5, 0.3), epoch(3, 0.6, 0.4, 0.5, 0.35)]
    rows = [','.join(f'{value:>23}' for value in row.split(',')) for row in rows]
    # the line that is being written just now
    run = write_ultralytics(tmp_path / 'run', *rows, '4,126,0.5', header=padded)
    best = read_evaluation(run, best=True)
    assert (best.step, best.scores['segm']['AP']) == (3, 0.35)
    write_ultralytics(run, rows[0], 'two,,,', rows[3], header=padded)
    with pytest.raises(ValueError, match='line 3 is no row'):
        read_evaluation(run)


def test_ultralytics_is_compared_with_itself_alone(tmp_path):
    gt = write_ultralytics(tmp_path / 'gt', epoch(1, 0.8, 0.5, 0.8, 0.4))
    mal = write_ultralytics(tmp_path / 'mal', epoch(1, 0.8, 0.5, 0.6, 0.3))
    runs = {'GT': read_evaluation(gt), 'MAL': read_evaluation(mal)}
    kept = {line.kind: line.values for line in compare(runs) if line.measure == 'retention'}
    assert kept['segm'] == pytest.approx({'AP50': 75, 'AP': 75})
    other = read_evaluation(write_detectron2(tmp_path / 'd2', detectron2_row(99, 30.0)))
    with pytest.raises(ValueError, match='GT was evaluated by the rules of Ultralytics'):
        compare({**runs, 'Mask R-CNN': other})


# -- Detectron2 -----------------------------------------------------------------------------------


def test_metrics_of_detectron2_are_percent(tmp_path):
    rows = detectron2_row(999, 30.0), detectron2_row(1999, 35.0), detectron2_row(2999, 32.0)
    run = write_detectron2(tmp_path / 'run', *rows)
    last, best = read_evaluation(run), read_evaluation(run / 'metrics.json', best=True)
    assert (last.benchmark, last.step, list(last.scores)) == ('COCO', 2999, ['segm', 'bbox'])
    expected = dict.fromkeys(('AP', 'AP50', 'AP75', 'APm', 'APl'), 0.32) | {'APs': None}
    assert last.scores['segm'] == pytest.approx(expected)
    assert best.step == 1999


def test_resumed_detectron2_run_and_lvis(tmp_path):
    rows = detectron2_row(999, 30.0), detectron2_row(1999, 90.0), detectron2_row(1499, 31.0)
    assert read_evaluation(write_detectron2(tmp_path / 'run', *rows), best=True).step == 1499
    rare = {'segm/APr': 10.0, 'segm/APc': 20.0, 'segm/APf': 30.0}
    lvis = read_evaluation(write_detectron2(tmp_path / 'lvis', detectron2_row(9, 30.0, **rare)))
    assert (lvis.benchmark, lvis.scores['segm']['APr']) == ('LVIS', 0.1)


def test_several_data_sets_of_detectron2_are_not_mixed(tmp_path):
    row = {'coco_2017_val/segm/AP': 30.0, 'mine/segm/AP': 20.0, 'iteration': 9}
    with pytest.raises(ValueError, match='segm AP twice'):
        read_evaluation(write_detectron2(tmp_path / 'run', row))


# -- results of both ------------------------------------------------------------------------------


@pytest.fixture
def truth(tmp_path):
    """Two images with a square each, of classes with odd ids."""
    mask = np.zeros((100, 100), order='F', dtype=np.uint8)
    mask[:40, :40] = 1
    rle = coco_mask.encode(mask)
    rle = {**rle, 'counts': rle['counts'].decode()}
    names = ['one/000012.jpg', 'two/kitten a.jpg']
    gt = {
        'images': [
            {'id': 12 - n, 'file_name': name, 'height': 100, 'width': 100}
            for n, name in enumerate(names)
        ],
        'annotations': [
            {'id': n + 1, 'image_id': 12 - n, 'category_id': 7 - 4 * n, 'bbox': [0, 0, 40, 40],
             'area': 1600, 'iscrowd': 0, 'segmentation': rle}
            for n in range(2)
        ],
        'categories': [{'id': 7, 'name': 'square'}, {'id': 3, 'name': 'box'}],
    }  # fmt: skip
    (tmp_path / 'gt.json').write_text(json.dumps(gt))
    return tmp_path / 'gt.json', rle


@pytest.mark.parametrize('first', [0, 1])
def test_predictions_of_ultralytics_find_their_images_and_classes(truth, tmp_path, first):
    gt, rle = truth
    run = tmp_path / 'val'
    run.mkdir()
    found = {'bbox': [0.0, 0.0, 40.0, 40.0], 'score': 0.9, 'segmentation': rle}
    results = [
        {**found, 'image_id': 12, 'category_id': first},
        {**found, 'image_id': 'kitten a', 'category_id': first + 1},
    ]
    (run / 'predictions.json').write_text(json.dumps(results))
    assert read_evaluation(run, gt_ann=gt).scores['segm']['AP'] == pytest.approx(1)
    with pytest.raises(NoEvaluationError, match='COCO results with --gt-ann'):
        read_evaluation(run)
    for change, reason in (
        ({'image_id': 'puppy'}, "entry 1 is of an image called 'puppy'"),
        ({'category_id': first + 2}, 'entry 1 is of class number'),
    ):
        (run / 'predictions.json').write_text(json.dumps([results[0], {**results[1], **change}]))
        with pytest.raises(ValueError, match=reason):
            read_evaluation(run / 'predictions.json', gt_ann=gt)


def test_results_of_detectron2_are_scored_where_it_has_logged_no_evaluation(truth, tmp_path):
    gt, rle = truth
    run = write_detectron2(tmp_path / 'run')
    (run / 'inference').mkdir()
    found = {'bbox': [0.0, 0.0, 40.0, 40.0], 'score': 0.9, 'segmentation': rle}
    results = [{**found, 'image_id': 12, 'category_id': 7}]
    (run / 'inference' / 'coco_instances_results.json').write_text(json.dumps(results))
    scores = read_evaluation(run, gt_ann=gt).scores['segm']
    assert scores['AP'] == pytest.approx(0.5)  # of one class all, of the other nothing
