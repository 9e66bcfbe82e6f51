"""Which trainings make a table of the paper, and the commands for them."""

import re
import shlex
import subprocess

import pytest

from mal_mm.reproduce.paper_figures import rows as printed_rows
from mal_mm.reproduce.script import commands
from mal_mm.reproduce.tables import (
    LABELER_TABLES,
    SEGMENTER_TABLES,
    TITLES,
    paper_columns,
    paper_only,
    table_rows,
)

MASKS_OF_COCO = 'data/lvis_v1/annotations/lvis_v1_train_mal_of_coco.json'


def words(table, **options):
    return shlex.split('\n'.join(commands(table, **options)), comments=True)


def after(word, all_words):
    return [all_words[i + 1] for i, each in enumerate(all_words) if each == word]


def test_every_row_has_a_run_on_human_masks_and_one_on_mals():
    supervisions = {
        table: [[each.supervision for each in row.runs] for row in table_rows(table)]
        for table in SEGMENTER_TABLES
    }
    assert supervisions == {
        '1': [['human', 'MAL']] * 6,
        # the two X101 rows also learn from masks of COCO's labeler
        '2': [['human', 'MAL']] * 2 + [['human', 'MAL', 'MAL']] * 2,
        '2-dcn': [['human', 'MAL']] * 2,
        '7': [['none', 'human', 'MAL']] * 5,
        '7-r50': [['none', 'human', 'MAL']],
        'baselines': [['boxes', 'human', 'MAL']],
    }


@pytest.mark.parametrize('table', ['1', '2', '3', '4', '5', '7'])
def test_each_figure_of_the_paper_stands_in_one_row(table):
    runs = [run for row in table_rows(table) for run in row.runs]
    if table in LABELER_TABLES:  # on human masks: Table 1's
        assert (runs[0].supervision, runs[0].paper['paper AP']) == ('human', 44.8)
        runs = runs[1:]
    ours = [tuple(run.paper.values()) for run in runs]
    ours += [tuple(figures.values()) for _, _, figures in paper_only(table)]
    width = len(paper_columns(table))
    printed = [tuple(cells.values())[-width:] for cells in printed_rows('MAL', table).values()]
    assert sorted(map(str, ours)) == sorted(map(str, printed))


def test_the_best_rows_have_the_papers_figures():
    best = {row.name: row for row in table_rows('1')}['mask2former_swin-s_lsj-50e_coco']
    assert best.run('human').paper['paper AP'] == 46.1
    assert best.run('MAL').paper == {
        'paper AP': 43.3,
        'paper kept': 93.9,
        'paper AP test-dev': 44.1,
        'paper kept test-dev': 93.8,
    }
    x101 = {row.name: row for row in table_rows('2')}['mask-rcnn_x101-64x4d_fpn_1x_lvis-v1']
    assert [(run.masks, run.paper['paper AP']) for run in x101.runs] == [
        ('human', 25.8),
        ('MAL', 24.5),
        ('MAL, trained on COCO', 24.2),
    ]


@pytest.mark.parametrize('table', TITLES)
def test_the_commands_are_a_shell_script_of_files_that_exist(repo_root, table):
    script = '\n'.join(commands(table, gpus=4))
    subprocess.run(['bash', '-n'], input=script, text=True, check=True)
    all_words = shlex.split(script, comments=True)
    files = [word for word in all_words if re.match(r'(configs|tools)/', word)]
    assert [file for file in files if not (repo_root / file).is_file()] == []
    if table == '6':
        assert all_words.count('tools/clustering_score.py') == 6
        return
    trainings = all_words.count('tools/dist_train.sh')
    folders = after('--work-dir', all_words)
    assert len(set(folders)) == len(folders) == trainings
    assert all_words.count('--auto-scale-lr') == trainings
    # each training on a labeler's masks reads a file that was drawn before
    drawn = {path.split('/', 2)[-1] for path in after('--out', all_words)}
    read = {word.partition('=')[2] for word in all_words if word.startswith('mal_ann_file=')}
    assert {path for path in read if '_mal' in path} <= drawn


def test_lvis_is_labelled_by_a_labeler_of_its_own_boxes_and_by_one_of_cocos():
    table = words('2')
    labelers = after('tools/generate_pseudo_masks.py', table)
    assert dict(zip(after('--out', table), labelers, strict=True)) == {
        'data/lvis_v1/annotations/lvis_v1_train_mal.json': 'configs/mal/vit_mae_base_lvis.py',
        MASKS_OF_COCO: 'configs/mal/vit_mae_base.py',
    }
    assert after('--work-dir', table)[:2] == [
        'work_dirs/vit_mae_base_lvis',
        'work_dirs/vit_mae_base',
    ]


def test_another_labeler_takes_the_place_of_the_usual_ones_alone():
    table = words('2', labeler='configs/mal/dinov2_base.py')
    assert after('tools/generate_pseudo_masks.py', table) == [
        'configs/mal/dinov2_base.py',
        'configs/mal/vit_mae_base.py',
    ]
    with pytest.raises(ValueError, match='table 4 compares labelers'):
        words('4', labeler='configs/mal/dinov2_base.py')


def test_labelers_of_table_5_and_figure_8_differ_in_one_setting():
    def settings(table):
        return [
            word
            for word in words(table)
            if re.fullmatch(r'\S+\.\S+=\S+', word) and not word.startswith('MAL')
        ]

    # 1.2 is the usual labeler
    assert settings('5') == [
        f'train_dataloader.dataset.pipeline.1.theta={theta}' for theta in (0.6, 0.8, 1.0, 1.4, 1.6)
    ]
    assert {setting.partition('=')[0] for setting in settings('fig8')} == {
        'model.mil_loss.loss_weight',
        'model.crf_loss.loss_weight',
        'model.crf_loss.mean_field.zeta',
        'model.crf_loss.mean_field.omega',
    }
