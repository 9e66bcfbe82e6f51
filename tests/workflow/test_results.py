"""Figures and page of a run, from logs as MMDetection writes them."""

from __future__ import annotations

import json

from mal_mm.workflow.page import write_page
from mal_mm.workflow.results import collect, headlines
from mal_mm.workflow.state import RunState


def write_test(folder, time: str, **scores: float) -> None:
    (folder / time).mkdir(parents=True)
    (folder / time / f'{time}.json').write_text(
        json.dumps({f'coco/segm_{key}': value for key, value in scores.items()})
    )


def test_retention_is_the_ratio_of_the_newest_tests(tmp_path):
    write_test(tmp_path / 'evaluation', '20260101_000000', mAP=0.1)
    write_test(tmp_path / 'evaluation', '20260102_000000', mAP=0.3, mAP_50=0.5, mAP_l=-1.0)
    write_test(tmp_path / 'evaluation_gt', '20260101_000000', mAP=0.4, mAP_50=0.5, mAP_l=-1.0)
    numbers = collect(tmp_path, {'evaluation': True, 'evaluation_gt': True, 'labeling': False})
    assert numbers['ap']['mal']['segm'] == {'AP': 0.3, 'AP50': 0.5, 'APl': None}
    kept = numbers['retention']['segm']
    assert round(kept['AP'], 9) == 75 and kept['AP50'] == 100 and kept['APl'] is None
    assert 'retention' not in collect(tmp_path, {'evaluation': True})

    numbers['labeling'] = dict(annotations=2, images=1, masks=2, passed=0, empty=1, ignored=0)
    numbers['labeling'].update(quality_histogram=[1] + 8 * [0] + [1], skipped={})
    said = headlines(numbers)
    assert said[1:] == [
        "segm AP of the segmenter trained on the labeler's masks: 30.0",
        'segm AP of the segmenter trained on human masks: 40.0',
        'segm retention rate: 75.0 %',
    ]
    state = RunState(tmp_path, {'val_ann': 'val.json', 'gt_ann': 'gt.json'}, ['evaluation'])
    page = write_page(tmp_path, {'evaluation': 'Evaluate it'}, state, numbers).read_text()
    assert '<svg class="chart"' in page and '1 came out empty' in page
    assert '<td>75.0</td><td>100.0</td><td>–</td><td>–</td>' in page


def test_losses_are_those_of_the_end(tmp_path):
    log = tmp_path / 'labeler' / '20260101_000000' / 'vis_data' / 'scalars.json'
    log.parent.mkdir(parents=True)
    rows = [{'loss': 9.0, 'lr': 1, 'iter': n, 'step': n} for n in range(1, 51)]
    rows += [{'loss': 2.0, 'lr': 1, 'iter': n, 'step': n} for n in range(51, 101)]
    log.write_text('\n'.join(map(json.dumps, rows)))
    figures = collect(tmp_path, {'labeler': True, 'segmenter': True})
    assert figures['labeler'] == {'iterations': 100, 'losses': {'loss': 2.0}}
    assert figures['segmenter'] == {'iterations': 0, 'losses': {}}
