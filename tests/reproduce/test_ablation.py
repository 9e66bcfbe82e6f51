"""The rows of the ablation tables, as changes of a config and through tools/ablate.py."""

from __future__ import annotations

import copy
import functools
import json
import os
import subprocess
import sys

import pytest
import torch
from mmdet.registry import DATASETS, MODELS
from mmengine.config import Config
from mmengine.registry import DefaultScope
from tiny_labeler import shrink

from mal_mm.reproduce.ablation import GROUPS, ROWS, format_table, select_rows
from mal_mm.samples import make_shapes


@pytest.fixture(scope='module')
def base(repo_root):
    cfg = Config.fromfile(repo_root / 'configs' / 'mal' / 'vit_mae_base.py')
    return lambda: copy.deepcopy(cfg)


def changed(cfg: Config, key: str) -> Config:
    ROWS[key].change(cfg)
    return cfg


def test_groups_are_the_papers_ablations():
    assert GROUPS == (
        'decoder',
        'encoder',
        'neck',
        'crops',
        'theta',
        'mil-weight',
        'mil-form',
        'crf-weight',
        'crf-shrink',
        'zeta',
        'omega',
        'background',
        'teacher',
        'classification',
    )
    thetas = [row.name for row in ROWS.values() if row.group == 'theta']
    assert thetas == ['0.6', '0.8', '1.0', '1.2', '1.4', '1.6']


# of rows that differ in a number the last one will do
NUMBERS = {row.group: row.key for row in ROWS.values() if row.name[0].isdecimal()}
BUILT = [key for key, row in ROWS.items() if NUMBERS.get(row.group, key) == key]


@pytest.mark.parametrize('key', BUILT)
def test_every_row_changes_the_config_into_one_that_builds(base, key, tmp_path, monkeypatch):
    cfg = shrink(base(), tmp_path, tmp_path)
    cfg.num_classes = 5
    cfg.model.network.decoder.channels = 8  # divisible by the heads of the query decoder
    cfg.model.network.encoder.arch.num_layers = 7  # the pyramid reads the last, fourth and seventh
    changed(cfg, key)
    # mmpretrain's Swin and ConvNeXt read values of this one
    monkeypatch.setattr(torch, 'linspace', functools.partial(torch.linspace, device='cpu'))
    with DefaultScope.overwrite_default_scope('mmdet'), torch.device('meta'):
        MODELS.build(cfg.model)


def test_rows_change_what_they_name(base):
    assert changed(base(), 'theta-0.6').train_dataloader.dataset.pipeline[1].theta == 0.6
    assert changed(base(), 'mil-weight-8.0').model.mil_loss.loss_weight == 8
    assert changed(base(), 'crf-weight-0.0').model.crf_loss.loss_weight == 0
    assert changed(base(), 'zeta-0.5').model.crf_loss.mean_field.zeta == 0.5
    assert changed(base(), 'omega-2.0').model.crf_loss.mean_field.omega == 2
    without = changed(base(), 'teacher-none')
    assert without.model.use_teacher is False and not without.custom_hooks
    tight = changed(base(), 'crops-tight-and-background').train_dataloader.dataset
    assert (tight.pipeline[1].expansion, tight.background_ratio) == ('tight', 0.5)
    assert changed(base(), 'mil-form-paper').model.mil_loss.form == 'paper'
    assert changed(base(), 'crf-shrink-area').model.shrink == 'area'
    query = changed(base(), 'decoder-query-light').model.network.decoder
    assert (query.num_layers, query.deep_supervision) == (3, False)
    fpn = changed(base(), 'neck-fpn').model.network
    assert fpn.neck == {'type': 'ViTFPN', 'channels': 256}
    assert fpn.encoder.out_indices == (-7, -4, -1)
    background = changed(base(), 'background-0.2').train_dataloader.dataset
    assert background.background_ratio == 0.2


def test_another_decoder_takes_over_the_settings_that_both_know(base):
    decoder = changed(base(), 'decoder-fully-conv').model.network.decoder
    assert decoder.to_dict() == {
        'type': 'FullyConvDecoder',
        'channels': 256,
        'upsample_before': 3,
        'area_bounds': (1024, 9216),
        'scales': (0.5, 1, 2),
    }
    connected = changed(base(), 'decoder-fully-connected').model.network.decoder
    assert connected.to_dict() == {'type': 'FullyConnectedDecoder'}  # 2048 wide, not 256


def test_encoder_rows_take_the_encoders_of_the_configs_and_stay_frozen_and_cached(repo_root):
    folder = repo_root / 'configs' / 'mal'
    for row, name in (('swin-base', 'swin_base'), ('mae-large', 'vit_mae_large')):
        shipped = Config.fromfile(folder / f'{name}.py').model.network.encoder
        trained = changed(Config.fromfile(folder / 'vit_mae_base.py'), f'encoder-{row}')
        assert trained.model.network.encoder == shipped
        small = changed(Config.fromfile(folder / 'small_set.py'), f'encoder-{row}').model.network
        assert small.encoder.type == 'CachedEncoder'
        assert small.encoder.encoder == {**shipped, 'frozen': True}
        assert (small.feature_stride, small.projection) == (16, 128)
    fpn = changed(Config.fromfile(folder / 'small_set.py'), 'neck-fpn').model.network
    assert (fpn.projection, fpn.neck.channels) == (None, 128)
    assert fpn.encoder.encoder.out_indices == (2, 5, 8, 11)  # the last three are read


def test_figures_are_those_of_the_papers_tables():
    assert ROWS['decoder-fully-connected'].paper == '35.5 AP, 79.2 %'
    assert ROWS['decoder-fully-conv'].paper == '36.1 AP, 80.5 %'
    assert ROWS['encoder-deit-small'].paper == '40.8 AP, 91.0 %'
    assert ROWS['theta-1.6'].paper == '41.8 AP, 93.3 %'


def test_rows_are_chosen_by_group_and_by_key():
    chosen = [row.key for row in select_rows(['theta-0.6', 'teacher', 'theta-0.6'])]
    assert chosen == ['theta-0.6', 'teacher-ema', 'teacher-none']
    with pytest.raises(ValueError, match=r"no ablation is called 'colour'; groups: decoder, "):
        select_rows(['colour'])


def test_table_shows_the_papers_figure_beside_the_measured_one():
    rows = select_rows(['theta-0.6', 'theta-1.2'])
    assert format_table(rows, {'unseen': {'theta-1.2': 0.8764}}).splitlines() == [
        '| ablation | mIoU unseen | paper (COCO) |',
        '|---|---|---|',
        '| theta 0.6 | - | 41.3 AP, 92.2 % |',
        '| theta 1.2 | 87.6 | 42.3 AP, 94.4 % |',
    ]


@pytest.mark.slow
@pytest.mark.long
def test_the_tool_trains_labels_judges_and_goes_on_where_it_stopped(repo_root, tmp_path):
    make_shapes(tmp_path / 'data', num_images=2, num_unseen=1, size=64)
    cfg = Config.fromfile(repo_root / 'configs' / 'mal' / 'vit_mae_base.py')
    shrink(cfg, tmp_path / 'data', tmp_path / 'unused')
    (tmp_path / 'tiny.py').write_text(cfg.pretty_text)
    command = [sys.executable, str(repo_root / 'tools' / 'ablate.py'), 'tiny.py', '--data', 'data']
    command += ['--rows', 'teacher-none', '--work-dir', 'out']
    environment = {**os.environ, 'OMP_NUM_THREADS': '1', 'CUDA_VISIBLE_DEVICES': ''}

    def run() -> str:
        done = subprocess.run(
            command, cwd=tmp_path, capture_output=True, text=True, env=environment
        )
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
        return done.stdout

    assert 'trained ' in run()
    scores = json.loads((tmp_path / 'out' / 'table.json').read_text())['unseen']
    assert list(scores) == ['teacher-none']
    assert all(0 <= score <= 1 for score in scores.values())
    row = Config.fromfile(tmp_path / 'out' / 'teacher-none' / 'config.py')
    assert row.model.use_teacher is False
    again = run()
    assert 'trained ' not in again
    assert '| teacher none |' in (tmp_path / 'out' / 'table.md').read_text()


def test_background_crops_come_out_of_the_data_set(base, tmp_path):
    make_shapes(tmp_path, num_images=2, num_unseen=1, size=64)
    cfg = shrink(base(), tmp_path, tmp_path / 'unused')
    ROWS['background-0.2'].change(cfg)
    cfg.train_dataloader.dataset.background_ratio = 1.0
    with DefaultScope.overwrite_default_scope('mmdet'):
        dataset = DATASETS.build(cfg.train_dataloader.dataset)
    assert any(dataset[index]['data_samples'].is_background for index in range(len(dataset)))
