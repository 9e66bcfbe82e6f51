"""`mal-mm convert`: from boxes to masks, to people and back, by command line."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np
import pytest
from coco_files import awkward, write_images
from mmengine.config import Config
from PIL import Image
from pycocotools import mask as mask_utils
from sharp_labeler import blotches
from tiny_instant import write_encoder, write_instant_config

import mal_mm_cli.convert
from mal_mm.convert import FORMATS
from mal_mm.phase2.custom_data import OwnData, put_on_data
from mal_mm.phase2.mask_file_check import check_mask_file
from mal_mm_cli.main import main

pytestmark = pytest.mark.slow
ADDRESS = 'https://example.org/encoders/tiny_pretrain.pth'


def run(*words: object) -> int:
    return main(['convert', *map(str, words)])


def test_the_help_names_every_format_and_what_it_can_do():
    listed = dict(re.findall(r'^  ([\w-]+) +(rw|r ) ', mal_mm_cli.convert.__doc__, re.M))
    assert listed == {name: 'rw' if form.write else 'r ' for name, form in FORMATS.items()}


def test_exit_status_report_and_what_is_said(tmp_path, capsys):
    source = tmp_path / 'awkward.json'
    source.write_text(json.dumps(awkward()))
    assert run(source, '--to', 'labelme', tmp_path / 'labelme') == 0
    assert 'coco -> labelme: 3 images, 5 objects (5 with a mask), 2 classes' in (
        capsys.readouterr().out
    )
    report = tmp_path / 'report.json'
    assert run(source, '--to', 'yolo-seg', tmp_path / 'seg', '--report', report) == 3
    said = capsys.readouterr().err
    assert 'not expressed: crowd region, which the format does not have: annotation 12' in said
    assert '1 things could not be expressed' in said
    assert json.loads(report.read_text())['polygons'] == {
        'count': 4,
        'mean_iou': 1,
        'worst_iou': 1,
        'worst': "annotation 'x y'",
    }
    # the folder is there already, and stays as it is
    assert run(source, '--to', 'yolo-seg', tmp_path / 'seg') == 1
    assert 'exists' in capsys.readouterr().err


@pytest.mark.parametrize(
    ('words', 'said'),
    [
        (['gone.json', 'out.json'], 'no such file'),
        (['awkward.json'], 'expected'),
        (['nosuch', 'awkward.json', 'out.json'], 'formats that can'),
        (['awkward.json', '--to', 'openimages', 'out.csv'], 'cannot be written'),
        (['awkward.json', 'awkward.json'], 'same file'),
        (['awkward.json', 'no/folder/out.json'], 'does not exist'),
        (['awkward.json', 'out.json', '--tolerance', '-1'], '--tolerance'),
        (['.', 'out.json', '--split', 'x'], ''),
        (['cvat', 'broken.xml', 'out.json'], 'not valid XML'),
        (['voc', 'awkward.json', 'out.json'], ''),
    ],
)
def test_what_cannot_be_done_is_refused_in_a_sentence(tmp_path, monkeypatch, capsys, words, said):
    monkeypatch.chdir(tmp_path)
    Path('awkward.json').write_text(json.dumps(awkward()))
    Path('broken.xml').write_text('<annotations>')
    before = Path('awkward.json').read_bytes()
    status = run(*words)
    error = capsys.readouterr().err
    assert status in (1, 3) and said in error and 'Traceback' not in error
    assert Path('awkward.json').read_bytes() == before


def test_a_writer_that_fails_leaves_no_folder(tmp_path, monkeypatch, capsys):
    source = tmp_path / 'awkward.json'
    source.write_text(json.dumps(awkward()))
    write_images(awkward(), tmp_path / 'img')
    monkeypatch.setattr('shutil.copyfile', _full)
    assert run(source, '--to', 'voc', tmp_path / 'voc', '--img-root', tmp_path / 'img') == 1
    assert 'No space left' in capsys.readouterr().err
    assert sorted(p.name for p in tmp_path.iterdir()) == ['awkward.json', 'img']


def _full(*_):
    raise OSError(28, 'No space left on device')


def test_what_a_killed_run_left_is_cleared_and_other_folders_are_not(tmp_path):
    source = tmp_path / 'awkward.json'
    source.write_text(json.dumps(awkward()))
    # the number of a process that has ended, and of one that runs
    ended = subprocess.Popen([sys.executable, '-c', ''])
    ended.wait()
    for number in (ended.pid, os.getppid()):
        (tmp_path / f'.voc.{number}.tmp').mkdir()
    assert run(source, '--to', 'voc', tmp_path / 'voc') == 0
    left = {p.name for p in tmp_path.iterdir()}
    assert left == {'awkward.json', 'voc', f'.voc.{os.getppid()}.tmp'}


@pytest.fixture(scope='module')
def labelled(tmp_path_factory) -> Path:
    """A YOLO data set, converted and labelled by the instant labeler of a tiny encoder."""
    folder = tmp_path_factory.mktemp('labelled')
    (folder / 'set/images/sub').mkdir(parents=True)
    (folder / 'set/labels/sub').mkdir(parents=True)
    (folder / 'weights').mkdir()
    write_encoder(folder / 'weights' / 'tiny_pretrain.pth')
    write_instant_config(folder / 'instant.py', ADDRESS)
    for number, name in enumerate(('eins', 'sub/zwei')):
        Image.fromarray(blotches(seed=number)).save(folder / f'set/images/{name}.png')
        rows = ['0 0.25 0.3 0.4 0.45', '1 0.5 0.5 0.6 0.3', '1 0.75 0.4 0.3 0.5']
        (folder / f'set/labels/{name}.txt').write_text('\n'.join(rows))
    (folder / 'set/data.yaml').write_text('names: [ring, frame]\n')
    with redirect_stdout(io.StringIO()) as said:
        assert run('yolo', folder / 'set/data.yaml', folder / 'boxes.json') == 0
    assert f'its images: --img-root {folder / "set"}\n' in said.getvalue()
    assert label(folder, 'boxes.json', 'masks.json') == 0
    return folder


def label(folder: Path, ann: str, out: str, *options: str) -> int:
    words = [folder / 'instant.py', '--weights', folder / 'weights', '--device', 'cpu']
    files = ['--ann', folder / ann, '--img-root', folder / 'set', '--out', folder / out]
    return main(['generate', *map(str, [*words, *files, *options])])


@pytest.mark.parametrize('tool', ['cvat', 'label-studio'])
def test_from_boxes_to_corrected_masks_to_the_start_of_phase_2(labelled, tool, tmp_path, capsys):
    sent = tmp_path / ('task.xml' if tool == 'cvat' else 'tasks.json')
    masks = labelled / 'masks.json'
    assert run(masks, '--to', tool, sent, '--shapes', 'polygons') == 0
    corrected_id = json.loads(masks.read_text())['annotations'][1]['id']
    correct(sent, tool, corrected_id)
    out = f'corrected-{tool}.json'
    words = [tool, sent, labelled / out, '--merge-into', masks, '--shapes', 'polygons']
    assert run(*words) == 0
    told = '1 changed, 0 confirmed' if tool == 'cvat' else '1 changed, 2 confirmed'
    assert f'corrections: {told}' in capsys.readouterr().out

    before = {a['id']: a for a in json.loads(masks.read_text())['annotations']}
    after = {a['id']: a for a in json.loads((labelled / out).read_text())['annotations']}
    assert before.keys() == after.keys()
    changed = {n for n in after if after[n]['segmentation'] != before[n]['segmentation']}
    assert changed == {corrected_id} and after[corrected_id]['mal_human'] == 1
    triangle = mask_utils.merge(mask_utils.frPyObjects([[30, 30, 80, 30, 80, 60]], 90, 120))
    theirs = mask_utils.merge(mask_utils.frPyObjects(after[corrected_id]['segmentation'], 90, 120))
    assert mask_utils.iou([triangle], [theirs], [0])[0, 0] == 1

    # a plain re-run draws the machine's masks anew and leaves the human's alone
    assert label(labelled, out, f're-{out}', '--mask-threshold', '0.9') == 0
    again = {a['id']: a for a in json.loads((labelled / f're-{out}').read_text())['annotations']}
    human = {n for n, a in after.items() if a.get('mal_human')}
    assert {n: again[n] for n in human} == {n: after[n] for n in human}
    assert any(again[n]['segmentation'] != after[n]['segmentation'] for n in set(after) - human)

    # the corrected file as the truth: what humans have looked at counts
    scores = tmp_path / 'm.json'
    assert main(['evaluate', str(masks), str(labelled / out), '--out', str(scores)]) == 0
    counts = json.loads(scores.read_text())['counts']
    assert counts['evaluated'] == len(human) and counts['left_out'] == 6 - len(human)
    warnings = check_mask_file(phase_2(labelled, out))
    assert not warnings


def phase_2(folder: Path, ann: str) -> Config:
    """A stock segmenter's config that trains on the corrected file."""
    configs = Path(__file__).parents[2] / 'configs' / 'phase2'
    cfg = Config.fromfile(configs / 'mask-rcnn_r50_fpn_1x_coco_mal.py')
    return put_on_data(cfg, OwnData(folder / ann, folder / 'set'))


def correct(path: Path, tool: str, number: int) -> None:
    """What a person does: another outline for an object; Label Studio's task is submitted."""
    if tool == 'cvat':
        text = path.read_text('utf-8')
        shapes = re.findall(r'<polygon .*?</polygon>', text, re.S)
        own = [s for s in shapes if f'<attribute name="mal_id">{number}</attribute>' in s]
        for piece in own[1:]:
            text = text.replace(piece, '')
        moved = re.sub(r'points="[^"]*"', 'points="30.00,30.00;80.00,30.00;80.00,60.00"', own[0])
        path.write_text(text.replace(own[0], moved), 'utf-8')
        return
    tasks = json.loads(path.read_text('utf-8'))
    results = tasks[0]['predictions'][0]['result']
    own = [r for r in results if r['id'].split(':')[1] == str(number)]
    corners = np.array([[30, 30], [80, 30], [80, 60]]) / (1.2, 0.9)
    own[0]['value']['points'] = corners.tolist()
    tasks[0]['annotations'] = [{'result': [r for r in results if r not in own[1:]]}]
    path.write_text(json.dumps(tasks), 'utf-8')
