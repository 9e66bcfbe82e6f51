"""The scripts in benchmarks/ run: they look into the program, which moves on without them."""

from __future__ import annotations

import importlib
import sys

import pytest
import torch
from mmengine.config import Config
from tiny_labeler import build, model_config
from tiny_training import write_boxes

from mal_mm.formats import read_coco, write_coco

pytestmark = pytest.mark.slow  # nothing here depends on the stack


@pytest.fixture
def run(monkeypatch, capsys):
    """run(name, *arguments) -> what `python benchmarks/NAME.py ARGUMENTS` prints."""

    def call(name: str, *arguments: object) -> str:
        monkeypatch.setattr(sys, 'argv', [f'{name}.py', *map(str, arguments)])
        importlib.import_module(name).main()
        return capsys.readouterr().out

    return call


def test_what_the_scripts_import_is_there(run, repo_root):
    for path in (repo_root / 'benchmarks').glob('*.py'):
        importlib.import_module(path.stem)


def milliseconds(printed: str, stage: str) -> list[float]:
    lines = [line.strip() for line in printed.splitlines()]
    return [float(line[len(stage) :].split()[0]) for line in lines if line.startswith(stage)]


def test_labeling_is_measured_stage_by_stage_and_draws_what_the_plain_pipeline_draws(run):
    import mal_mm.labeling.engine as engine_module

    before = engine_module.crop_window
    small = ('--images', 1, '--plain-images', 1, '--crop-size', 32)
    printed = run('bench_labeling', *small, '--rounds', 1, '--exact-crops')
    for stage in ('decode', 'crop', 'box mask', 'RLE', 'quality', 'maps to pixels'):
        assert all(spent > 0 for spent in milliseconds(printed, stage)), stage
    assert milliseconds(printed, 'IoU of the masks of both, lowest') == [1.0]
    assert engine_module.crop_window is before


def test_the_instant_labeler_is_measured_stage_by_stage(run):
    printed = run('bench_instant', '--images', 1, '--crop-size', 56, '--rounds', 1)
    for stage in ('encoder', 'vote and walk', 'GrabCut', 'colour field', 'decode', 'crop'):
        spent = milliseconds(printed, stage)
        assert len(spent) == 2 and min(spent) > 0, stage


@pytest.mark.parametrize(
    ('name', 'arguments', 'said'),
    [
        ('bench_mean_field', '--batch 1 --size 16 --iters 3 --rounds 1', 'labels that agree'),
        ('bench_training_sample', '--images 1 --samples 2', 'RoICrop'),
        ('bench_dataset_memory', '--boxes 100', 'bytes a box'),
    ],
)
def test_the_small_ones_run(run, name, arguments, said):
    assert said in run(name, *arguments.split())


def test_the_steps_of_a_large_job_are_measured(run, tmp_path, capsys):
    module = importlib.import_module('bench_labeling_scale')
    importlib.import_module('bench_labeling_memory').write_set(tmp_path, 30, seed=0)
    steps, _ = module.go_through(tmp_path)
    assert min(steps.values()) > 0 and len(steps) == 4
    assert all(each['area'] for each in read_coco(tmp_path / 'masks.json')['annotations'])
    module.label_crowds([14], seed=0)
    assert 'one image of 14 boxes' in capsys.readouterr().out


def test_the_peak_of_labeling_is_measured(run, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, 'argv', ['bench_labeling_memory.py'])
    module = importlib.import_module('bench_labeling_memory')
    module.write_set(tmp_path, 9, seed=0)
    module.label(tmp_path)
    assert float(capsys.readouterr().out.split()[-1]) > 0
    assert len(read_coco(tmp_path / 'masks.json')['annotations']) == 9


def test_the_formula_of_quality_is_judged(run, tmp_path):
    write_boxes(tmp_path)
    truth = read_coco(tmp_path / 'train.json')
    for annotation in truth['annotations']:
        x, y, w, h = annotation['bbox']
        annotation['segmentation'] = [[x, y, x + w, y, x + w / 2, y + h]]
    write_coco(truth, tmp_path / 'gt.json')
    Config(dict(default_scope='mmdet', model=model_config())).dump(tmp_path / 'tiny.py')
    torch.save({'state_dict': build().state_dict()}, tmp_path / 'tiny.pth')
    files = tmp_path / 'tiny.py', tmp_path / 'tiny.pth', '--fit', tmp_path / 'gt.json'
    printed = run('fit_quality', *files, '--options', 'plain', '--rounds', 3)
    assert f'| {tmp_path.name}/gt | plain | 8 |' in printed
