"""Masks without training through the command line."""

from __future__ import annotations

import importlib.util
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask
from sharp_labeler import blotches, write_sharp_labeler
from tiny_instant import write_encoder, write_instant_config

TOOL = Path(__file__).parents[2] / 'tools' / 'generate_pseudo_masks.py'
ADDRESS = 'https://example.org/encoders/tiny_pretrain.pth'
BOXES = [[5, 5.5, 55, 45], [20, 30, 90, 55], [70, 10, 40, 50]]


@pytest.fixture(scope='module')
def call_tool():
    spec = importlib.util.spec_from_file_location('generate_pseudo_masks', TOOL)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.main


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """An instant and a trained labeler, the weights of the first, two images."""
    folder = tmp_path_factory.mktemp('instant')
    (folder / 'weights').mkdir()
    write_encoder(folder / 'weights' / 'tiny_pretrain.pth')
    write_instant_config(folder / 'instant.py', ADDRESS)
    write_sharp_labeler(folder)
    images = [{'id': n, 'file_name': f'{n}.png', 'width': 120, 'height': 90} for n in range(2)]
    for image in images:
        Image.fromarray(blotches(seed=image['id'])).save(folder / image['file_name'])
    annotations = [
        {'id': 10 * image['id'] + n, 'image_id': image['id'], 'category_id': 1, 'bbox': box}
        for image in images
        for n, box in enumerate(BOXES)
    ]
    data = {
        'images': images,
        'annotations': annotations,
        'categories': [{'id': 1, 'name': 'thing'}],
    }
    (folder / 'ann.json').write_text(json.dumps(data))
    return folder


@pytest.fixture
def call(call_tool, folder, tmp_path, monkeypatch, capsys):
    """call(*arguments) -> exit status, stdout and stderr; no weights but those of the test."""
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    monkeypatch.setenv('TORCH_HOME', str(tmp_path / 'torch'))

    def run(*arguments, out='out.json'):
        files = '--ann', folder / 'ann.json', '--img-root', folder, '--out', tmp_path / out
        words = ['generate_pseudo_masks.py', *arguments, *files, '--device', 'cpu']
        monkeypatch.setattr(sys, 'argv', [str(word) for word in words])
        return call_tool(), *capsys.readouterr()

    return run


def checkpoint_option(folder):
    return f'model.encoder.init_cfg.checkpoint={folder / "weights" / "tiny_pretrain.pth"}'


def test_boxes_become_masks_without_a_checkpoint(call, folder, tmp_path):
    status, said, _ = call(folder / 'instant.py', '--weights', folder / 'weights')
    assert status == 0
    assert '6 masks in 2 images' in said
    after = json.loads((tmp_path / 'out.json').read_text())
    made_by = after['mal_mm']
    assert made_by['config'].startswith('instant.py (sha256 of the model ')
    assert made_by['checkpoint'].startswith('tiny_pretrain.pth (sha256 ')
    assert (made_by['refine'], made_by['overlaps']) == ('instant', 'centre')
    assert (made_by['box_tolerance'], made_by['carve_holes']) == (0, True)
    drawn = [a for a in after['annotations'] if 'mal_flag' not in a]
    assert len(drawn) >= 4
    y, x = np.mgrid[:90, :120] + 0.5
    for annotation in drawn:
        left, top, width, height = annotation['bbox']
        mask = coco_mask.decode(annotation['segmentation']).astype(bool)
        inside = (abs(x - left - width / 2) <= width / 2) & (
            abs(y - top - height / 2) <= height / 2
        )
        assert mask.any() and not (mask & ~inside).any()
        assert 0 <= annotation['mal_quality'] <= 1


def test_the_weights_may_be_named_and_may_lie_anywhere(call, folder, tmp_path):
    call(folder / 'instant.py', '--weights', folder / 'weights')
    status, *_ = call(
        folder / 'instant.py', '--cfg-options', checkpoint_option(folder), out='named.json'
    )
    assert status == 0
    hub = tmp_path / 'torch' / 'hub' / 'checkpoints'
    shutil.copytree(folder / 'weights', hub)
    assert call(folder / 'instant.py', out='found.json')[0] == 0
    contents = {(tmp_path / f'{name}.json').read_bytes() for name in ('out', 'named', 'found')}
    assert len(contents) == 1


def test_without_weights_one_sentence_says_where_to_get_them(call, folder, tmp_path):
    before = sorted(tmp_path.rglob('*'))
    status, _, said = call(folder / 'instant.py')
    assert status == 1 and 'Traceback' not in said
    (line,) = [line for line in said.splitlines() if line.startswith('generate_pseudo_masks: ')]
    assert 'tiny_pretrain.pth are not on this machine' in line
    for word in (ADDRESS, '--weights', '--download', str(tmp_path / 'cache')):
        assert word in line
    status, _, said = call(folder / 'instant.py', '--weights', folder / 'none')
    assert status == 1 and f'--weights {folder / "none"} is no folder' in said
    assert sorted(tmp_path.rglob('*')) == before


def test_a_trained_labeler_needs_a_checkpoint_an_instant_one_takes_none(call, folder, tmp_path):
    status, _, said = call(folder / 'labeler.py')
    assert status == 1
    assert 'labeler.py is a labeler that is trained: name its CHECKPOINT' in said
    assert 'instant_dinov2_small.py' in said
    status, _, said = call(folder / 'instant.py', folder / 'labeler.pth')
    assert status == 1
    assert f'takes no checkpoint, got {folder / "labeler.pth"}' in said
    assert not (tmp_path / 'out.json').exists()


@pytest.mark.parametrize(
    ('options', 'made'),
    [
        (['--no-carve-holes'], dict(carve_holes=False)),
        (
            ['--overlaps', 'keep', '--box-tolerance', '2.5'],
            dict(overlaps='keep', box_tolerance=2.5, carve_holes=True),
        ),
        (
            ['--refine', 'none', '--no-carve-holes', '--box-tolerance', 'released'],
            dict(refine='none', carve_holes=False, box_tolerance='released', overlaps='centre'),
        ),
    ],
)
def test_options_of_the_command_line_replace_the_configs(call, folder, tmp_path, options, made):
    status, _, said = call(folder / 'instant.py', '--weights', folder / 'weights', *options)
    assert status == 0, said
    made_by = json.loads((tmp_path / 'out.json').read_text())['mal_mm']
    assert {name: made_by[name] for name in made} == made


@pytest.mark.parametrize(
    ('options', 'says'),
    [
        (['--refine'], "`refine` must be one of ('none', 'instant'), got 'mean-field'"),
        (['--box-tolerance', 'wide'], "--box-tolerance must be a number of pixels or 'released'"),
        (['--box-tolerance=-1'], '`box_tolerance` must be a number of pixels >= 0'),
    ],
)
def test_what_an_instant_labeler_cannot_do_is_refused_before_it_starts(
    call, folder, tmp_path, options, says
):
    status, _, said = call(folder / 'instant.py', '--weights', folder / 'weights', *options)
    assert status == 1 and says in said and 'Traceback' not in said
    assert not (tmp_path / 'out.json').exists() and not (tmp_path / 'out.json.parts').exists()


@pytest.mark.parametrize('refine', ['none', 'mean-field', 'instant'])
def test_the_stages_serve_a_trained_labeler_too(call, folder, tmp_path, refine):
    trained = folder / 'labeler.py', folder / 'labeler.pth'
    options = ['--refine', refine, '--overlaps', 'centre']
    assert call(*trained, *options)[0] == 0
    made_by = json.loads((tmp_path / 'out.json').read_text())['mal_mm']
    assert (made_by['refine'], made_by['overlaps']) == (refine, 'centre')
    assert made_by['checkpoint'].startswith('labeler.pth (sha256 ')
    if refine == 'mean-field':  # what --refine alone has always meant
        assert call(*trained, '--overlaps', 'centre', '--refine', out='alone.json')[0] == 0
        assert (tmp_path / 'alone.json').read_bytes() == (tmp_path / 'out.json').read_bytes()
