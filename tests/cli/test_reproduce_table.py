import csv
import json

import pytest

from mal_mm.reproduce.results import training_hours
from mal_mm.reproduce.tables import TITLES
from mal_mm_cli.main import main
from mal_mm_cli.reproduce_table import TABLES


def write_run(folder, start, steps, key='coco/segm_mAP', seconds=0.5):
    """36000 iterations a validation, as mmengine logs them."""
    file = folder / start / 'vis_data' / 'scalars.json'
    file.parent.mkdir(parents=True)
    rows = []
    for step, value in steps:
        rows.append({'time': seconds, 'iter': 36000 * step, 'step': 36000 * step})
        rows.append({key: value, 'time': 0.1, 'step': step})
    file.write_text('\n'.join(json.dumps(row) for row in rows))


def test_what_has_been_run_is_collected_beside_the_papers_figures(tmp_path, capsys):
    runs, name = tmp_path / 'runs', 'mask-rcnn_x101-64x4d_fpn_1x_lvis-v1'
    write_run(runs / f'{name}_gt', '1', [(11, 0.2), (12, 0.25)], 'lvis/segm_AP')
    write_run(runs / f'{name}_mal', '1', [(6, 0.2)], 'lvis/segm_AP')
    (runs / 'mask-rcnn_r50_fpn_1x_lvis-v1_gt' / '1').mkdir(parents=True)  # just begun
    out = tmp_path / 'table.csv'
    assert main(['reproduce', 'table', '2', '--work-dirs', str(runs), '--out', str(out)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1].startswith('The paper calls r50 and r101 ResNet-50-DCN')
    lines = lines[:-2]
    assert lines[0] == 'Table 2: LVIS v1, mask AP (segm), %'
    assert lines[2].split(' | ')[3:] == [
        *('hours', 'AP', 'AP50', 'AP75', 'APs', 'APm', 'APl', 'kept', 'paper AP', 'paper kept |'),
    ]
    assert lines[-3:-1] == [
        f'| {name} | human | 12/12 epochs | 60.0 | 25.0 | - | - | - | - | - | - | 25.8 | - |',
        f'| {name} | MAL | 6/12 epochs | 30.0 | 20.0 | - | - | - | - | - | 80.0 | 24.5 | 95.0 |',
    ]
    with out.open(newline='') as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 10
    assert (rows[0]['done'], rows[0]['AP'], rows[0]['hours']) == ('-/12 epochs', '', '')
    assert float(rows[-2]['kept']) == pytest.approx(80)


def test_boxes_are_what_table_7_is_about(tmp_path, capsys):
    name = 'mask-rcnn_r50_fpn_1x_lvis-v1'
    for run, value in (('faster-rcnn_r50_fpn_1x_lvis-v1_boxes', 0.22), (f'{name}_gt', 0.25)):
        write_run(tmp_path / run, '1', [(12, value)], 'lvis/bbox_AP')
    assert main(['reproduce', 'table', '7', '--work-dirs', str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if f'| {name} |' in line][:2] == [
        f'| {name} | none | 12/12 epochs | 60.0 | 22.0 | - | - | - | - | - | 88.0 '
        '| 22.0 | 36.4 | 22.9 | 16.8 | 29.1 | 33.4 |',
        f'| {name} | human | 12/12 epochs | 60.0 | 25.0 | - | - | - | - | - | - '
        '| 22.5 | 36.9 | 23.8 | 16.8 | 29.7 | 35.0 |',
    ]


def test_methods_that_the_paper_compares_with_stand_below_table_1(tmp_path, capsys):
    assert main(['reproduce', 'table', '1', '--work-dirs', str(tmp_path)]) == 0
    rows = [line.split(' | ') for line in capsys.readouterr().out.splitlines()]
    only = {row[0].lstrip('| '): row[-4:] for row in rows if 'paper only' in row}
    assert only['BBTP, ResNet-101'] == ['-', '21.1', '-', '59.1 |']
    assert only['DiscoBox, ResNeXt-101-DCN'] == ['37.3', '37.9', '88.0', '88.8 |']
    assert len(only) == 10


def test_clustering_scores_stand_beside_the_papers(tmp_path, capsys):
    file = tmp_path / 'clustering' / 'swin_base.json'
    file.parent.mkdir()
    file.write_text('{"clustering_score": 0.5, "standard_error": 0.01, "scored": 9}')
    assert main(['reproduce', 'table', '6', '--work-dirs', str(tmp_path)]) == 0
    assert '| Swin-Base | 0.500 | 0.010 | 9 | 0.425 |' in capsys.readouterr().out
    file.write_text('[]')
    assert main(['reproduce', 'table', '6', '--work-dirs', str(tmp_path)]) == 1
    assert f'{file}: not what tools/clustering_score.py' in capsys.readouterr().err


def test_help_names_the_tables_there_are():
    assert set(TABLES) == set(TITLES)


def test_hours_are_those_of_all_iterations_resumed_or_not(tmp_path):
    write_run(tmp_path, '1', [(1, 0.1), (2, 0.2)], seconds=0.1)
    write_run(tmp_path, '2', [(2, 0.2)], seconds=0.3)  # does the second half again
    assert training_hours(tmp_path) == pytest.approx(36000 * (0.1 + 0.3) / 3600)


@pytest.mark.parametrize(
    ('arguments', 'status', 'reason'),
    [
        (('2', '--work-dirs', 'nowhere'), 1, '--work-dirs nowhere is no folder'),
        (('8',), 2, "invalid choice: '8'"),
        (('4', '--labeler', 'a.py'), 1, 'table 4 compares labelers'),
        (('2', '--out', 'a.md'), 2, 'goes with --work-dirs'),
        (('2', '--gpus', '0'), 2, '--gpus must be at least 1'),
    ],
)
def test_a_wrong_call_is_refused(capsys, arguments, status, reason):
    try:
        assert main(['reproduce', 'table', *arguments]) == status
    except SystemExit as stopped:
        assert stopped.code == status
    last = capsys.readouterr().err.splitlines()[-1]
    assert reason in last
