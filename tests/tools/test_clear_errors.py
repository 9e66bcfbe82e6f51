"""What goes wrong is said in one sentence, with a status and without a traceback."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import warm_processes
from PIL import Image
from sharp_labeler import blotches, write_sharp_labeler
from tiny_training import cpu_environment

from mal_mm.datasets import CocoBoxDataset
from mal_mm.formats import AnnotationError, atomic_write

TOOLS = Path(__file__).parents[2] / 'tools'
W, H = 60, 45


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp('errors')
    write_sharp_labeler(folder)
    Image.fromarray(blotches(H, W)).save(folder / 'a.png')
    return folder


def content(**changes) -> dict:
    data = {
        'images': [{'id': 1, 'file_name': 'a.png', 'width': W, 'height': H}],
        'annotations': [{'id': 1, 'image_id': 1, 'category_id': 1, 'bbox': [5, 5, 30, 20]}],
        'categories': [{'id': 1, 'name': 'x'}],
    }
    return {**data, **changes}


@pytest.fixture
def label(folder, tmp_path, monkeypatch, capsys):
    """label(file content, *options) -> status, what was said on stderr, the file written."""
    spec = importlib.util.spec_from_file_location('label_tool', TOOLS / 'generate_pseudo_masks.py')
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)

    def run(data: object, *options: str):
        (tmp_path / 'ann.json').write_text(data if isinstance(data, str) else json.dumps(data))
        out = tmp_path / 'out.json'
        words = [folder / 'labeler.py', folder / 'labeler.pth', '--img-root', folder]
        words += ['--ann', tmp_path / 'ann.json', '--out', out, *options]
        monkeypatch.setattr(sys, 'argv', ['generate_pseudo_masks.py', *map(str, words)])
        status = tool.main()
        said = capsys.readouterr().err
        assert 'Traceback' not in said
        return status, said, json.loads(out.read_text()) if out.is_file() else None

    return run


ARGUMENTS = [
    (['--polygons', 'nan'], '--polygons must be from 0 to 100, got nan'),
    (['--polygons', '-1'], '--polygons must be from 0 to 100'),
    (['--polygons', 'inf'], '--polygons must be from 0 to 100'),
    (['--margin', '1e6'], '--margin must be from 0 to 10'),
    (['--margin', '0.3', 'nan'], '--margin must be from 0 to 10'),
    (['--min-quality', '7'], '--min-quality must be from 0 to 1'),
    (['--min-quality', 'nan'], '--min-quality must be from 0 to 1'),
    (['--mask-threshold', '-0.1'], '`mask_threshold`'),
    (['--mask-threshold', 'nan'], '`mask_threshold`'),
    (['--batch-size', 'many'], '--batch-size must be a number from 1, or auto'),
    (['--batch-size', '0'], '`batch_size` must be at least 1'),
    (['--threads', '0'], '--threads must be at least 1'),
    (['--device', 'nonsense'], "device 'nonsense' cannot be used here"),
    (['--device', 'cuda:99'], "device 'cuda:99' cannot be used here"),
    (['--categories', 'cat'], 'no category is called cat; the file has: x'),
]


@pytest.mark.parametrize(('options', 'sentence'), ARGUMENTS, ids=str)
def test_wrong_arguments_are_named(label, options, sentence):
    status, said, out = label(content(), *options)
    assert status == 1 and out is None
    assert said.startswith('generate_pseudo_masks: ') and sentence in said
    assert said.count('\n') == 1


@pytest.mark.skipif(torch.cuda.is_available(), reason='there is a GPU')
def test_cuda_without_cuda_is_named(label):
    status, said, _ = label(content(), '--device', 'cuda')
    assert status == 1 and "device 'cuda' cannot be used here" in said and 'shows 0 GPUs' in said


FILES = [
    (content(annotations={'1': content()['annotations'][0]}), 'list(annotations.values())', []),
    (content(annotations='x'), 'must be a list of objects', []),
    (
        content(categories=[{'id': [1], 'name': 'x'}]),
        'number the categories',
        ['--categories', 'x'],
    ),
    ('{"images": [', 'truncated', []),
    (content(images=[]), 'is not among', []),
]


@pytest.mark.parametrize(('data', 'sentence', 'options'), FILES)
def test_wrong_files_are_named(label, data, sentence, options):
    status, said, _ = label(data, *options)
    assert status in (1, 3) and sentence in said


def test_categories_of_annotations_may_be_anything(label):
    other = {**content()['annotations'][0], 'id': 2, 'category_id': [1]}
    data = content(annotations=[*content()['annotations'], other])
    status, _said, out = label(data, '--categories', 'x')
    assert status == 0 and out['annotations'][1] == other


BAD_IMAGES = [
    ({'coco_url': 'http://[::1/a.png', 'file_name': None}, 'no such image'),
    ({'file_name': 'x' * 200_000}, 'is 200000 letters long'),
    ({'file_name': 'y' * 3000}, 'cannot be decoded'),
    ({'file_name': 'A.PNG'}, "there is 'a.png': letter case differs"),
    ({'file_name': '.\\a.png'}, "there is 'a.png': folders are separated by / here"),
    ({'file_name': 'a%2Epng'}, "there is 'a.png': the name is encoded as in a web address"),
    ({'file_name': 'u\u0308.png'}, "there is 'ü.png': accents are encoded otherwise"),
    ({'width': 2**70, 'height': 50}, 'pixels but its record says'),
    ({'file_name': 'none.png', 'width': 2**70, 'height': 50}, 'no such image'),
    ({'file_name': ['a.png']}, 'is list, not a string'),
]


@pytest.mark.parametrize(('fields', 'sentence'), BAD_IMAGES, ids=lambda v: str(v)[:40])
def test_one_bad_image_is_one_skip(label, folder, fields, sentence):
    Image.fromarray(blotches(H, W)).save(folder / '\u00fc.png')
    bad = {'id': 2, 'file_name': 'a.png', 'width': W, 'height': H, **fields}
    annotation = content()['annotations'][0]
    data = content(
        images=[*content()['images'], bad],
        annotations=[annotation, {**annotation, 'id': 2, 'image_id': 2}],
    )
    status, said, out = label(data)
    assert status == 3 and len(said) < 3000
    assert sentence in out['annotations'][1]['mal_skipped']
    assert 'mal_skipped' not in out['annotations'][0]


def test_detections_need_no_annotations_beside_their_images(label, tmp_path):
    data = content()
    del data['annotations']
    boxes = [{'image_id': 1, 'category_id': 1, 'bbox': [5, 5, 30, 20], 'score': 0.5}]
    (tmp_path / 'boxes.json').write_text(json.dumps(boxes))
    status, _, out = label(data, '--boxes', str(tmp_path / 'boxes.json'))
    assert status == 0 and out['annotations'][0]['score'] == 0.5


def test_the_traceback_can_be_asked_for(label, monkeypatch):
    monkeypatch.setenv('MAL_DEBUG', '1')
    with pytest.raises(ValueError, match='--min-quality'):
        label(content(), '--min-quality', '7')


# -- phase 1 --------------------------------------------------------------------------------------


def boxes(tmp_path, data) -> CocoBoxDataset:
    (tmp_path / 'train.json').write_text(json.dumps(data))
    return CocoBoxDataset(ann_file=str(tmp_path / 'train.json'), data_prefix={'img': 'images'})


def test_one_absolute_name_stops_no_training(tmp_path):
    bad = {'id': 2, 'file_name': '/etc/hostname', 'width': W, 'height': H}
    annotation = content()['annotations'][0]
    data = content(
        images=[bad, *content()['images']],
        annotations=[{**annotation, 'id': 2, 'image_id': 2}, annotation],
    )
    assert [each['img_id'] for each in boxes(tmp_path, data)] == [1]


@pytest.mark.parametrize(
    ('change', 'sentence'),
    [
        ({'annotations': []}, 'has no usable box to train on'),
        ({'images': []}, 'has no usable box to train on: annotation 1: image_id 1 is not among'),
        (
            {'images': [{'id': 1, 'file_name': '/a.png', 'width': W, 'height': H}]},
            '1 images left out .*is an absolute path',
        ),
    ],
)
def test_nothing_to_train_on_is_said(tmp_path, change, sentence):
    with pytest.raises(AnnotationError, match=sentence):
        boxes(tmp_path, content(**change))


# -- train.py -------------------------------------------------------------------------------------


def train(config, *words, wait_for: str | None = None) -> tuple[int, str]:
    """Status and output; with `wait_for`, Ctrl-C once that is in the output."""
    command = [sys.executable, TOOLS / 'train.py', config, *words]
    process = warm_processes.start(command, config.parent, cpu_environment())
    if wait_for is not None:
        process.wait_until(lambda: wait_for in ''.join(process.said()))
        process.send_signal(signal.SIGINT)
    said = ''.join(process.communicate(timeout=90))
    assert 'Traceback' not in said
    return process.returncode, said


@pytest.mark.slow
def test_ctrl_c_in_training_says_how_to_go_on(tiny_config):
    words = [
        '--cfg-options',
        'train_cfg.max_epochs=1000',
        'default_hooks.checkpoint.interval=1000',
    ]
    status, said = train(tiny_config, *words, wait_for='training: ')
    assert status == 130
    assert 'interrupted; the same command with --resume goes on from the last check' in said


@pytest.mark.slow
def test_a_misspelt_option_is_named(tiny_config):
    status, said = train(tiny_config, '--cfg-options', 'train_dataloder.batch_size=1')
    assert status == 1
    assert "has no 'train_dataloder'; did you mean 'train_dataloader'?" in said


# -- what kills leave -----------------------------------------------------------------------------


def test_what_a_kill_has_left_of_a_file_goes_with_the_next_one(tmp_path):
    process = os.fork()
    if process == 0:
        with atomic_write(tmp_path / 'a.json') as file:
            file.write('half')
            file.flush()
            time.sleep(60)
        os._exit(0)
    deadline = time.monotonic() + 20
    while not list(tmp_path.iterdir()) and time.monotonic() < deadline:
        time.sleep(0.01)
    # of a process that lives it stays
    with atomic_write(tmp_path / 'a.json') as file:
        file.write('whole')
    assert len(list(tmp_path.iterdir())) == 2
    os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)
    with atomic_write(tmp_path / 'a.json') as file:
        file.write('whole again')
    assert [each.name for each in tmp_path.iterdir()] == ['a.json']
    assert (tmp_path / 'a.json').read_text() == 'whole again'


@pytest.mark.slow
def test_a_rank_that_fails_ends_torchrun_in_a_sentence(tmp_path):
    script = tmp_path / 'rank.py'
    script.write_text(
        'import os, sys, time\n'
        "if os.environ['RANK'] == '1': sys.exit('tool: what is wrong')\n"
        'time.sleep(30)\n'
    )
    done = subprocess.run(
        [
            sys.executable,
            str(TOOLS / 'ranks.py'),
            '--standalone',
            '--local-addr=127.0.0.1',
            '--nproc-per-node=2',
            str(script),
        ],
        capture_output=True,
        text=True,
        env=cpu_environment(),
        timeout=100,
    )
    assert done.returncode == 1
    assert 'tool: what is wrong' in done.stderr and 'Traceback' not in done.stderr
    assert 'rank 1' in done.stderr.splitlines()[-1]
