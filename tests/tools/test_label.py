"""tools/label.py: boxes in, the better of two labelings out, through every kill."""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
import warm_processes
from mmdet.registry import MODELS
from mmengine.config import Config
from PIL import Image
from sharp_labeler import blotches
from tiny_labeler import ARCH

from mal_mm.formats import read_coco
from mal_mm_cli import label

pytestmark = pytest.mark.slow  # what depends on the stack is tested in generate and train

REPO_ROOT = Path(__file__).resolve().parents[2]
LABEL = REPO_ROOT / 'tools' / 'label.py'
BOXES = [[8, 6, 60, 44], [50, 30, 55, 50], [20, 40, 30, 30], [70, 5, 40, 35], [2, 2, 24, 60]]


def write_data(folder: Path, images: int = 6) -> Path:
    """Pictures with five boxes each, and their COCO file."""
    records, annotations = [], []
    for number in range(images):
        Image.fromarray(blotches(seed=number)).save(folder / f'{number}.png')
        records.append(dict(id=number, file_name=f'{number}.png', width=120, height=90))
        for box in BOXES:
            annotations.append(
                dict(
                    id=len(annotations) + 1,
                    image_id=number,
                    category_id=1,
                    bbox=box,
                    iscrowd=0,
                    note=f'mine {len(annotations)}',
                )
            )
    ann = folder / 'boxes.json'
    ann.write_text(
        json.dumps(
            dict(images=records, annotations=annotations, categories=[dict(id=1, name='thing')])
        )
    )
    return ann


def write_configs(folder: Path) -> tuple[Path, Path]:
    """An instant labeler and one to train, with the same tiny encoder."""
    encoder = dict(type='ViTEncoder', arch=dict(ARCH), img_size=56, patch_size=14)
    torch.manual_seed(0)
    vit = MODELS.build(encoder)
    weights = folder / 'tiny_encoder.pth'
    torch.save({'state_dict': vit.state_dict()}, weights)
    init_cfg = dict(type='Pretrained', checkpoint='https://example.com/nowhere/tiny_encoder.pth')
    imports = dict(imports=['mal_mm'], allow_failed_imports=False)
    instant = Config.fromfile(REPO_ROOT / 'configs' / 'mal' / 'instant_dinov2_small.py')
    instant.model.encoder = dict(**encoder, init_cfg=init_cfg)
    instant.model.test_cfg.crop_size = 56
    instant.custom_imports = imports
    instant.dump(folder / 'instant.py')

    train = Config.fromfile(REPO_ROOT / 'configs' / 'mal' / 'small_set.py')
    inner = train.model.network.encoder.encoder
    inner.clear()
    inner.update(encoder, frozen=True, init_cfg=init_cfg)
    train.model.network.update(projection=None)
    train.model.network.decoder.update(channels=4)
    train.model.test_cfg.crop_size = 56
    for transform in train.train_dataloader.dataset.pipeline:
        if transform.type == 'RoICrop':
            transform.crop_size = 56
    train.train_dataloader.update(batch_size=4, num_workers=0, persistent_workers=False)
    train.train_cfg.update(min_iters=16, max_iters=16, iters_per_box=0)
    train.default_hooks.checkpoint.interval = 1
    train.dump(folder / 'train.py')
    return folder / 'instant.py', folder / 'train.py'


@pytest.fixture(scope='module')
def workplace(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp('label')
    write_data(folder)
    write_configs(folder)
    return folder


def command(workplace: Path, out: Path, *options: object) -> list[str]:
    words = [sys.executable, LABEL, '--ann', workplace / 'boxes.json', '--img-root', workplace]
    words += ['--out', out, '--config', workplace / 'instant.py', '--batch-size', 8]
    words += ['--train-config', workplace / 'train.py', '--weights', workplace, '--device', 'cpu']
    return [str(word) for word in [*words, *options]]


def run(workplace: Path, out: Path, *options: object) -> subprocess.CompletedProcess:
    environment = {**os.environ, 'XDG_CACHE_HOME': str(workplace / 'cache')}
    return warm_processes.run(command(workplace, out, *options), workplace, environment)


@pytest.fixture(scope='module')
def finished(workplace) -> tuple[Path, subprocess.CompletedProcess]:
    """One whole run, for the tests that look at what it left."""
    out = workplace / 'masks.json'
    return out, run(workplace, out, '--report', workplace / 'report')


def test_every_annotation_gets_a_mask_and_keeps_its_fields(finished, workplace):
    out, result = finished
    assert result.returncode == 0, result.stderr
    before, after = read_coco(workplace / 'boxes.json'), read_coco(out)
    assert len(after['annotations']) == 30
    for old, new in zip(before['annotations'], after['annotations'], strict=True):
        assert {key: new[key] for key in old} == old
        assert new['segmentation']['size'] == [90, 120]
        assert 0 <= new['mal_quality'] <= 1


def test_it_says_beforehand_what_it_will_do_and_how_long_that_takes(finished):
    _, result = finished
    first = result.stdout.index('30 boxes. 1. Instant masks, about')
    assert '2. A labeler learns from the boxes, about' in result.stdout
    assert 'the same command goes on' in result.stdout
    assert first < result.stdout.index('wrote ')


def test_the_masks_that_fit_better_are_kept_and_the_file_and_the_page_say_so(finished, workplace):
    out, _ = finished
    choice = json.loads((workplace / 'masks.json.work' / 'choice.json').read_text())
    best = max(choice['fit'], key=choice['fit'].get)
    data = read_coco(out)
    assert choice['kept'] == best
    assert data['mal_mm']['choice'] == choice
    kept = read_coco(workplace / 'masks.json.work' / f'{best}.json')
    assert data['annotations'] == kept['annotations']
    page = (workplace / 'report' / 'index.html').read_text()
    assert f'{best} masks (how well masks fit boxes and colours' in page


@pytest.mark.slow
def test_called_again_it_does_nothing_twice_and_ends_with_the_same_file(finished, workplace):
    out, _ = finished
    before = out.read_bytes()
    again = run(workplace, out, '--report', workplace / 'report')
    assert again.returncode == 0, again.stderr
    for step in ('instant', 'training', 'trained'):
        assert f'{step}: done before' in again.stdout
    assert out.read_bytes() == before


@pytest.mark.slow
def test_a_work_dir_of_other_boxes_is_refused(finished, workplace, tmp_path):
    other = json.loads((workplace / 'boxes.json').read_text())
    other['annotations'].pop()
    (tmp_path / 'other.json').write_text(json.dumps(other))
    out, _ = finished
    result = run(workplace, out, '--ann', tmp_path / 'other.json')
    assert result.returncode == 1
    assert 'holds a run with other arguments: ann was' in result.stderr
    assert 'Traceback' not in result.stderr


@pytest.mark.slow
def test_few_boxes_are_labelled_without_training(workplace, tmp_path):
    few = json.loads((workplace / 'boxes.json').read_text())
    few['annotations'] = few['annotations'][:3]
    (tmp_path / 'few.json').write_text(json.dumps(few))
    result = run(workplace, tmp_path / 'out.json', '--ann', tmp_path / 'few.json')
    assert result.returncode == 0, result.stderr
    assert '3 boxes are too few to learn from' in result.stdout
    assert not (tmp_path / 'out.json.work' / 'labeler').exists()
    assert len(read_coco(tmp_path / 'out.json')['annotations']) == 3


@pytest.mark.slow
def test_without_weights_it_says_where_to_get_them(workplace, tmp_path):
    result = run(workplace, tmp_path / 'out.json', '--weights', tmp_path)
    assert result.returncode == 1
    assert 'tiny_encoder.pth are not on this machine' in result.stderr
    assert 'https://example.com/nowhere/tiny_encoder.pth' in result.stderr
    assert '--download' in result.stderr
    assert 'Traceback' not in result.stderr
    assert not (tmp_path / 'out.json').exists()


MOMENTS = {  # what is there when it is killed
    'instant masks begun': 'instant.json.parts/*.part',
    'instant masks done': 'instant.json',
    'training begun': 'labeler/*/*.log',
    'a checkpoint written': 'labeler/epoch_*.pth',
    'trained masks done': 'trained.json',
}


@pytest.mark.long
def test_killed_at_five_moments_it_ends_with_the_same_file(finished, workplace, tmp_path):
    out = tmp_path / 'masks.json'
    work_dir = tmp_path / 'masks.json.work'
    environment = {**os.environ, 'XDG_CACHE_HOME': str(workplace / 'cache')}
    for pattern in MOMENTS.values():
        process = warm_processes.start(command(workplace, out), workplace, environment)
        while process.poll() is None and not list(work_dir.glob(pattern)):
            time.sleep(0.01)
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert run(workplace, out).returncode == 0
    ours, theirs = read_coco(out), read_coco(finished[0])
    assert ours['annotations'] == theirs['annotations']
    assert np.isclose(
        *(data['mal_mm']['choice']['fit']['trained'] for data in (ours, theirs)), atol=0
    )


def label_here(workplace: Path, out: Path, *options: object) -> int:
    """The command in this process."""
    parser = argparse.ArgumentParser()
    label.add_arguments(parser)
    args = parser.parse_args([*command(workplace, out)[2:], *map(str, options)])
    label.check(args, parser)
    return label.run(args)


def test_labelers_without_training_are_compared_and_the_best_is_kept(workplace, tmp_path, capsys):
    other = Config.fromfile(workplace / 'instant.py')
    other.model.update(rounds=1)
    other.model.test_cfg.update(refine='none', carve_holes=False)
    other.dump(tmp_path / 'other.py')
    out = tmp_path / 'masks.json'
    options = ('--method', 'instant', '--also', tmp_path / 'other.py')
    assert label_here(workplace, out, *options) == 0
    work_dir = tmp_path / 'masks.json.work'
    choice = json.loads((work_dir / 'choice.json').read_text())
    fits = choice['fit']
    assert fits.keys() == {'instant', 'also_1'} and len({*fits.values()}) == 2
    kept = max(fits, key=fits.get)
    assert choice['kept'] == kept
    chosen = read_coco(work_dir / f'{kept}.json')['annotations']
    assert read_coco(out)['annotations'] == chosen
    said = capsys.readouterr().out
    assert f'Then those of {tmp_path / "other.py"}, to compare.' in said
    assert f'other masks {fits["also_1"]:.3f}' in said
    # again: all is done, and the file the same
    before = out.read_bytes()
    assert label_here(workplace, out, *options) == 0
    assert 'also_1: done before' in capsys.readouterr().out
    assert out.read_bytes() == before


def test_a_labeler_without_an_encoder_of_ours_is_compared_not_learned_from(workplace, tmp_path):
    sam = 'mal_mm::mal/sam_vit_base.py'
    with pytest.raises(ValueError, match=f'compare its masks with ours by --also {sam}'):
        label_here(workplace, tmp_path / 'masks.json', '--config', sam)
    with pytest.raises(ValueError, match='--also must be of a labeler without training'):
        label_here(workplace, tmp_path / 'masks.json', '--also', workplace / 'train.py')
