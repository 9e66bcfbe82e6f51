import csv
import importlib.util
import json
import re
import shlex
import subprocess

import pytest

from mal_mm.phase2.paper_tables import FIGURES, TITLES, table_rows
from mal_mm.phase2.reproduction import commands, training_hours


@pytest.fixture(scope='module')
def tool(repo_root):
    path = repo_root / 'tools' / 'reproduce_table.py'
    spec = importlib.util.spec_from_file_location('reproduce_table', path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def write_run(folder, start, steps, key='coco/segm_mAP', seconds=0.5):
    """36000 iterations a validation, as mmengine logs them."""
    file = folder / start / 'vis_data' / 'scalars.json'
    file.parent.mkdir(parents=True)
    rows = []
    for step, value in steps:
        rows.append({'time': seconds, 'iter': 36000 * step, 'step': 36000 * step})
        rows.append({key: value, 'time': 0.1, 'step': step})
    file.write_text('\n'.join(json.dumps(row) for row in rows))


def test_every_row_has_a_run_on_human_masks_and_one_on_mals():
    supervisions = {
        table: [[each.supervision for each in row.trainings] for row in table_rows(table)]
        for table in TITLES
    }
    assert supervisions == {
        '1': [['human', 'MAL']] * 6,
        '2': [['human', 'MAL']] * 4,
        '7': [['none', 'human', 'MAL']] * 2,
        'baselines': [['boxes', 'human', 'MAL']],
    }
    assert FIGURES.keys() <= {row.name for table in TITLES for row in table_rows(table)}


@pytest.mark.parametrize('table', TITLES)
def test_the_commands_are_a_shell_script_of_files_that_exist(repo_root, table):
    script = '\n'.join(commands(table, gpus=4))
    subprocess.run(['bash', '-n'], input=script, text=True, check=True)
    words = shlex.split(script, comments=True)
    files = [word for word in words if re.match(r'(configs|tools)/', word)]
    trainings = sum(len(row.trainings) for row in table_rows(table))
    assert len(files) == 2 * (1 + trainings) + 2 + len(table_rows(table)) + 1
    assert [file for file in files if not (repo_root / file).is_file()] == []
    assert words.count('--auto-scale-lr') == words.count('4') - 1 == 1 + trainings
    folders = [words[i + 1] for i, word in enumerate(words) if word == '--work-dir']
    assert len(set(folders)) == 1 + trainings


def test_what_has_been_run_is_collected_beside_the_papers_figures(tool, tmp_path, capsys):
    runs, name = tmp_path / 'runs', 'mask-rcnn_x101-64x4d_fpn_1x_lvis-v1'
    write_run(runs / f'{name}_gt', '1', [(11, 0.2), (12, 0.25)], 'lvis/segm_AP')
    write_run(runs / f'{name}_mal', '1', [(6, 0.2)], 'lvis/segm_AP')
    (runs / 'mask-rcnn_r50-dcn_fpn_1x_lvis-v1_gt' / '1').mkdir(parents=True)  # just begun
    out = tmp_path / 'table.csv'
    assert tool.main(['2', '--work-dirs', str(runs), '--out', str(out)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == 'Table 2: LVIS v1, mask AP (segm), %'
    assert lines[2].split(' | ')[3:] == [
        *('hours', 'AP', 'AP50', 'AP75', 'APs', 'APm', 'APl', 'kept', 'paper AP', 'paper kept |'),
    ]
    assert lines[-2:] == [
        f'| {name} | human | 12/12 epochs | 60.0 | 25.0 | - | - | - | - | - | - | 25.8 | - |',
        f'| {name} | MAL | 6/12 epochs | 30.0 | 20.0 | - | - | - | - | - | 80.0 | 24.5 | 95.0 |',
    ]
    with out.open(newline='') as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 8
    assert (rows[0]['done'], rows[0]['AP'], rows[0]['hours']) == ('-/12 epochs', '', '')
    assert float(rows[-1]['kept']) == pytest.approx(80)


def test_hours_are_those_of_all_iterations_resumed_or_not(tmp_path):
    write_run(tmp_path, '1', [(1, 0.1), (2, 0.2)], seconds=0.1)
    write_run(tmp_path, '2', [(2, 0.2)], seconds=0.3)  # does the second half again
    assert training_hours(tmp_path) == pytest.approx(36000 * (0.1 + 0.3) / 3600)


@pytest.mark.parametrize(
    ('arguments', 'status', 'reason'),
    [
        (('2', '--work-dirs', 'nowhere'), 1, '--work-dirs nowhere is no folder'),
        (('3',), 2, "invalid choice: '3'"),
        (('2', '--out', 'a.md'), 2, 'goes with --work-dirs'),
        (('2', '--gpus', '0'), 2, '--gpus must be at least 1'),
    ],
)
def test_a_wrong_call_is_refused(tool, capsys, arguments, status, reason):
    try:
        assert tool.main(arguments) == status
    except SystemExit as stopped:
        assert stopped.code == status
    last = capsys.readouterr().err.splitlines()[-1]
    assert reason in last
