import csv
import json

import pytest
from PIL import Image

from mal_mm_cli.main import main


@pytest.fixture
def runs(tmp_path, monkeypatch):
    """Tests of three runs, in the current folder."""
    keys = ('mAP', 'mAP_50', 'mAP_75', 'mAP_s', 'mAP_m', 'mAP_l')
    for name, factor in (('gt', 1.0), ('mal', 0.95), ('fill', 0.5)):
        row = {f'coco/segm_{key}': 0.4 * factor for key in keys}
        (tmp_path / f'{name}.json').write_text(json.dumps({**row, 'coco/bbox_mAP': 0.5}))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_papers_row_stands_below_and_the_numbers_and_bars_are_written(runs, capsys):
    outputs = ['--csv', 'out.csv', '--plot', 'out.png']
    paper = ['--paper', 'mask-rcnn_x101-64x4d_fpn_1x_lvis-v1_mal']
    assert main(['retention', 'gt.json', 'mal.json', 'box fill=fill.json', *paper, *outputs]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith('| segm | AP |')
    for line in (
        '| MAL / GT, % | 95.0 | 95.0 | 95.0 | 95.0 | 95.0 | 95.0 |',
        '| box fill / GT, % | 50.0 | 50.0 | 50.0 | 50.0 | 50.0 | 50.0 |',
        '| paper GT | 25.8 | - | - | - | - | - |',
        '| paper MAL | 24.5 | - | - | - | - | - |',
        '| paper MAL / GT, % | 95.0 | - | - | - | - | - |',
        '| paper MAL, trained on COCO | 24.2 | - | - | - | - | - |',
        '| paper none | 26.6 | 42.0 | 28.3 | 19.8 | 34.7 | 39.9 |',
        '- MAL: mal.json, a test (COCO)',
    ):
        assert line in shown.splitlines()
    with (runs / 'out.csv').open(newline='') as file:
        rows = list(csv.DictReader(file))
    assert [row['run'] for row in rows if row['kind'] == 'segm'] == [
        *('GT', 'MAL', 'MAL', 'box fill', 'box fill'),
        *('paper GT', 'paper MAL', 'paper MAL'),
        *('paper MAL, trained on COCO', 'paper MAL, trained on COCO'),
    ]
    with Image.open('out.png') as picture:
        assert picture.size == (1350, 1035)  # a panel each for masks and boxes


@pytest.mark.parametrize(
    ('arguments', 'reason'),
    [
        (('gt.json', 'no'), 'no does not exist'),
        (('gt.json', 'mal.json', '--paper', 'yolo'), "no row 'yolo'; there are solov2_r50"),
        (('gt.json', 'mal.json', '--csv', 'no/a.csv'), 'folder no does not exist'),
    ],
)
def test_a_refusal_is_one_line(runs, capsys, arguments, reason):
    assert main(['retention', *arguments]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith('mal-mm retention: ') and reason in line


@pytest.mark.parametrize('other', ['fill.json', 'GT=fill.json', '=fill.json'])
def test_a_further_run_needs_a_name_of_its_own(runs, capsys, other):
    with pytest.raises(SystemExit) as stopped:
        main(['retention', 'gt.json', 'mal.json', other])
    assert stopped.value.code == 2
    assert 'a further run is NAME=RUN' in capsys.readouterr().err
