import importlib.util
import json
import math
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import warm_processes
from PIL import Image
from pycocotools import mask as coco_mask
from sharp_labeler import blotches, write_sharp_labeler

from mal_mm.formats import check_rle

TOOL = Path(__file__).parents[2] / 'tools' / 'generate_pseudo_masks.py'
NAN = math.nan
GOOD_BOX = [5, 5.5, 55, 45]
POLYGON = [[10, 10, 40, 10, 40, 40]]
# What the tool may write into an annotation.
WRITTEN = ('segmentation', 'area', 'mal_quality', 'mal_flag', 'mal_skipped')


def start_tool(cwd, *arguments):
    return warm_processes.start([sys.executable, TOOL, *arguments], cwd)


@pytest.fixture(scope='module')
def tool():
    """The tool as a module: what needs no process of its own is quicker without one."""
    spec = importlib.util.spec_from_file_location('generate_pseudo_masks', TOOL)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def call(tool, monkeypatch, capsys):
    """call(*arguments) -> exit status and what was said on stderr."""

    def run(*arguments):
        monkeypatch.setattr(sys, 'argv', ['generate_pseudo_masks.py', *map(str, arguments)])
        status = tool.main()
        return status, capsys.readouterr().err

    return run


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """A labeler, and images: some good, one truncated, one of another size than its record."""
    folder = tmp_path_factory.mktemp('generate')
    write_sharp_labeler(folder)
    images = folder / 'images'
    (images / 'sub folder').mkdir(parents=True)
    for seed, name in enumerate(
        ['a.png', 'sub folder/b é.jpg', 'truncated.jpg', 'other_size.png']
    ):
        Image.fromarray(blotches(seed=seed)).save(images / name)
    (folder / 'outside.png').write_bytes((images / 'a.png').read_bytes())
    whole = (images / 'truncated.jpg').read_bytes()
    (images / 'truncated.jpg').write_bytes(whole[: len(whole) // 2])
    return folder


def image_records():
    size = {'width': 120, 'height': 90}
    return [
        {'id': 1, 'file_name': 'a.png', **size, 'license': 3},
        {'id': 2, 'file_name': 'sub folder/b é.jpg', **size, 'coco_url': 'http://x'},
        {'id': 3, 'file_name': 'truncated.jpg', **size},
        {'id': 4, 'file_name': 'missing.jpg', **size},
        {'id': 5, 'file_name': 'other_size.png', 'width': 60, 'height': 90},
        {'id': 6, 'file_name': '../outside.png', **size},
        {'id': 7, 'file_name': 'a.png'},  # without a size
    ]


def write_dataset(path, annotations, images=None):
    data = {
        'info': {'note': 'née 日本', 'nested': [1, {'x': None}]},
        'images': image_records() if images is None else images,
        'annotations': annotations,
        'categories': [{'id': 7, 'name': 'Kätzchen'}],
        'licenses': [{'id': 3}],
        'mine': 1.5,
    }
    path.write_text(json.dumps(data))
    return data


def annotation(number, image_id=1, bbox=GOOD_BOX, **fields):
    return {'id': number, 'image_id': image_id, 'category_id': 7, 'bbox': bbox, **fields}


CROWD = {'iscrowd': 1, 'segmentation': {'size': [90, 120], 'counts': [0, 10800]}, 'area': 10800}
LABELLED = [
    annotation(31, 2, iscrowd=0, attributes={'mine': [None, 'ü']}),
    annotation(30, 1, segmentation=POLYGON, area=450.5),
    annotation(29, 2, [70, 10, 40, 50]),
    annotation(28, 1, [-20.5, 60, 60, 1e9]),  # partly outside
    annotation(27, 7, [20, 30, 90, 55]),
    annotation('text id', 1, [50, 50, 0.5, 0.5]),
]
SKIPPED = [
    ('missing.jpg: no such image', annotation(20, 4)),
    ('truncated.jpg: cannot be decoded', annotation(19, 3, segmentation=POLYGON, area=450.5)),
    ('is 120 x 90 pixels but its record says 60 x 90', annotation(18, 5)),
    ("steps out of its folder through '..'", annotation(17, 6)),
    ('lies wholly outside its 120 x 90 image', annotation(16, 1, [200, 10, 5, 5])),
    ('lies wholly outside its 120 x 90 image', annotation(15, 7, [10, 200, 5, 5])),
    ('zero width or height', annotation(14, 2, [10, 10, 0, 5])),
    ('negative width or height', annotation(13, 1, [10, 10, 5, -5])),
    ('NaN or infinity', annotation(12, 1, [NAN, 10, 5, 5])),
    ('NaN or infinity', annotation(11, 1, [1, 10, 5, math.inf], segmentation=POLYGON)),
    ('four numbers', annotation(10, 1, [1, 2, 3])),
    ('four numbers', annotation(9, 1, 'box')),
    ("category_id 99 is not among the file's categories", {**annotation(8), 'category_id': 99}),
    ("image_id 77 is not among the file's images", annotation(7, 77)),
    ('image_id is missing', {'id': 6, 'category_id': 7, 'bbox': GOOD_BOX}),
    ('bbox is missing', {'id': 5, 'image_id': 1, 'category_id': 7}),
]


def without(record, keys):
    return repr({key: value for key, value in record.items() if key not in keys})  # NaN != NaN


@pytest.fixture(scope='module')
def mixed(folder):
    """One run of the command line over everything at once."""
    bad = [record for _, record in SKIPPED]
    # good and bad take turns, images come and go
    annotations = [*bad[:4], *LABELLED[:3], *bad[4:9], annotation(50, 2, **CROWD), *LABELLED[3:]]
    annotations += bad[9:]
    before = write_dataset(folder / 'mixed.json', annotations)
    arguments = ['labeler.py', 'labeler.pth', '--ann', 'mixed.json', '--img-root', 'images']
    options = ['--out', 'out.json', '--batch-size', 4, '--flip', '--network', 'both']
    process = start_tool(folder, *arguments, *options, '--report', 'report')
    stdout, stderr = process.communicate(timeout=240)
    assert process.returncode == 3, stderr
    after = json.loads((folder / 'out.json').read_text(encoding='utf-8'))
    return before, after, stdout, stderr


def test_every_annotation_comes_out_in_order_with_its_other_fields(mixed):
    before, after, _, _ = mixed
    assert len(after['annotations']) == len(before['annotations']) == len(LABELLED + SKIPPED) + 1
    for old, new in zip(before['annotations'], after['annotations'], strict=True):
        assert without(new, WRITTEN) == without(old, WRITTEN)
    assert list(after) == [*before, 'mal_mm']
    for key in before.keys() - {'annotations'}:
        assert after[key] == before[key]


def test_labelled_annotations_hold_a_valid_mask_inside_their_box(mixed):
    _, after, _, _ = mixed
    by_id = {record['id']: record for record in after['annotations']}
    masks = []
    for old in LABELLED:
        new = by_id[old['id']]
        rle = new['segmentation']
        check_rle(rle)
        assert rle['size'] == [90, 120]
        assert isinstance(rle['counts'], str)
        assert new['area'] == coco_mask.area(rle) > 0
        assert 0 <= new['mal_quality'] <= 1
        assert 'mal_skipped' not in new
        x, y, w, h = old['bbox']
        box = np.clip([x, y, x + w, y + h], 0, [120, 90, 120, 90])
        left, top, width, height = coco_mask.toBbox(rle)
        extent = np.array([left, top, left + width, top + height])
        # by the middles of pixels; a box of half a pixel has the one that it lies in
        assert (extent[:2] >= np.minimum(box[:2] - 0.5, np.floor(box[:2]))).all()
        assert (extent[2:] <= np.maximum(box[2:] + 0.5, np.ceil(box[2:]))).all()
        masks.append(coco_mask.decode(rle))
    # neither all boxes nor all the same
    assert any(0.05 < m[6:50, 6:60].mean() < 0.95 for m in masks[:2])


def test_the_crowd_passes_through(mixed):
    before, after, _, _ = mixed
    old, new = (next(a for a in data['annotations'] if a['id'] == 50) for data in (before, after))
    assert new == old


def test_skipped_annotations_are_kept_marked_and_listed(mixed):
    _, after, _, stderr = mixed
    by_id = {record['id']: record for record in after['annotations']}
    listed = {each['annotation_id']: each['reason'] for each in after['mal_mm']['skipped']}
    assert set(listed) == {record['id'] for _, record in SKIPPED}
    assert f'skipped {len(SKIPPED)} annotations, kept without a mask:' in stderr
    for reason, old in SKIPPED:
        new = by_id[old['id']]
        assert reason in new['mal_skipped']
        assert new['mal_skipped'] == listed[old['id']]
        assert f'1 x {new["mal_skipped"]}' in stderr
        assert 'mal_quality' not in new
        if 'segmentation' in old:
            assert new['segmentation'] == old['segmentation']
            assert new.get('area') == old.get('area')
        else:
            check_rle(new['segmentation'])
            assert new['area'] == coco_mask.area(new['segmentation']) == 0


def test_the_file_and_the_screen_tell_what_was_done(mixed):
    _, after, stdout, stderr = mixed
    made_by = after['mal_mm']
    assert (made_by['network'], made_by['flip'], made_by['crop_size']) == ('both', True, 32)
    assert (made_by['refine'], made_by['mask_threshold']) == ('none', 0.5)
    assert (made_by['overlaps'], made_by['box_tolerance']) == ('keep', 0)
    assert made_by['config'].startswith('labeler.py (sha256 of the model ')
    assert made_by['checkpoint'].startswith('labeler.pth (sha256 ')
    assert 'wrote out.json: 6 masks in 3 images' in stdout
    assert '1 passed through untouched, 16 skipped' in stdout
    assert 'Traceback' not in stderr


def test_the_report_is_written_though_annotations_are_bad(mixed, folder):
    assert (folder / 'report' / 'index.html').stat().st_size > 1000


def stop_in_the_middle(folder, tmp_path, number):
    """Send a signal while the tool is at work; returns exit status and stderr."""
    images = [{'id': n, 'file_name': 'a.png'} for n in range(600)]
    (tmp_path / 'a.png').write_bytes((folder / 'images' / 'a.png').read_bytes())
    write_dataset(tmp_path / 'ann.json', [annotation(n, n) for n in range(600)], images)
    (tmp_path / 'out.json').write_text('the old file')
    process = start_tool(
        tmp_path,
        *(folder / 'labeler.py', folder / 'labeler.pth', '--batch-size', 1),
        *('--ann', 'ann.json', '--img-root', '.', '--out', 'out.json', '--threads', 1),
    )
    part = tmp_path / 'out.json.parts' / 'rank0000.part'
    process.wait_until(lambda: part.is_file() and part.stat().st_size)
    process.send_signal(number)
    _, stderr = process.communicate(timeout=60)
    return process.returncode, stderr


@pytest.mark.slow
def test_a_second_call_at_the_same_time_is_refused_and_loses_nothing(call, folder, tmp_path):
    images = [{'id': n, 'file_name': 'a.png'} for n in range(80)]
    (tmp_path / 'a.png').write_bytes((folder / 'images' / 'a.png').read_bytes())
    write_dataset(tmp_path / 'ann.json', [annotation(n, n) for n in range(80)], images)
    words = [folder / 'labeler.py', folder / 'labeler.pth', '--batch-size', 1, '--resume']
    words += ['--ann', tmp_path / 'ann.json', '--img-root', tmp_path]
    process = start_tool(tmp_path, *words, '--out', tmp_path / 'out.json')
    part = tmp_path / 'out.json.parts' / 'rank0000.part'
    process.wait_until(lambda: part.is_file() and part.stat().st_size)
    process.send_signal(signal.SIGSTOP)
    status, said = call(*words, '--out', tmp_path / 'out.json')
    assert status == 1
    assert f'is in use: process {process.pid} on ' in said and 'wait for it, or stop it' in said
    process.send_signal(signal.SIGCONT)
    process.communicate(timeout=120)
    assert process.returncode == 0
    assert call(*words, '--out', tmp_path / 'alone.json')[0] == 0
    assert (tmp_path / 'out.json').read_bytes() == (tmp_path / 'alone.json').read_bytes()
    assert not part.parent.exists()


def test_a_pipe_in_the_place_of_a_file_is_named_and_not_waited_for(call, folder, tmp_path):
    os.mkfifo(tmp_path / 'pipe.png')
    (tmp_path / 'a.png').write_bytes((folder / 'images' / 'a.png').read_bytes())
    images = [{'id': n, 'file_name': name} for n, name in enumerate(['a.png', 'pipe.png'])]
    write_dataset(tmp_path / 'ann.json', [annotation(n, n) for n in range(2)], images)
    arguments = (folder / 'labeler.py', folder / 'labeler.pth', '--img-root', tmp_path)
    status, said = call(*arguments, '--ann', tmp_path / 'ann.json', '--out', tmp_path / 'out.json')
    assert status == 3 and 'pipe.png: cannot be decoded (cannot be read: is a pipe' in said
    for name in ('--ann', '--boxes'):
        given = {'--ann': tmp_path / 'ann.json', name: tmp_path / 'pipe.png'}
        words = [word for pair in given.items() for word in pair]
        status, said = call(*arguments, *words, '--out', tmp_path / 'out2.json')
        assert status == 1 and said.count('\n') == 1
        assert f'{tmp_path / "pipe.png"}: cannot be read (is a pipe or a device' in said


@pytest.mark.slow
def test_ctrl_c_says_how_to_go_on(folder, tmp_path):
    status, stderr = stop_in_the_middle(folder, tmp_path, signal.SIGINT)
    assert status == 130
    assert 'what was done is kept: call the same with --resume to go on' in stderr
    assert 'Traceback' not in stderr
    assert (tmp_path / 'out.json').read_text() == 'the old file'
    assert (tmp_path / 'out.json.parts').is_dir()


@pytest.mark.slow
def test_a_killed_run_keeps_the_old_file_and_goes_on_with_resume(call, folder, tmp_path):
    status, _ = stop_in_the_middle(folder, tmp_path, signal.SIGKILL)
    assert status == -signal.SIGKILL
    assert (tmp_path / 'out.json').read_text() == 'the old file'
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ['a.png', 'ann.json', 'out.json', 'out.json.parts']
    arguments = (
        *(folder / 'labeler.py', folder / 'labeler.pth', '--batch-size', '1'),
        *('--ann', tmp_path / 'ann.json', '--img-root', tmp_path),
    )
    status, stderr = call(*arguments, '--out', tmp_path / 'out.json')
    assert status == 1 and 'add --resume to go on with it' in stderr
    status, stderr = call(*arguments, '--out', tmp_path / 'out.json', '--flip', '--resume')
    assert status == 1 and 'flip was False, now True' in stderr
    assert call(*arguments, '--out', tmp_path / 'out.json', '--resume')[0] == 0
    assert call(*arguments, '--out', tmp_path / 'unbroken.json')[0] == 0
    assert (tmp_path / 'out.json').read_bytes() == (tmp_path / 'unbroken.json').read_bytes()
    assert not (tmp_path / 'out.json.parts').exists()


@pytest.mark.slow
@pytest.mark.long
def test_two_processes_of_torchrun_give_the_file_of_one(call, folder, tmp_path):
    write_dataset(tmp_path / 'ann.json', LABELLED)
    arguments = [folder / 'labeler.py', folder / 'labeler.pth', '--ann', tmp_path / 'ann.json']
    arguments += ['--img-root', folder / 'images', '--batch-size', 1]
    assert call(*arguments, '--out', tmp_path / 'one.json')[0] == 0
    launch = [sys.executable, '-m', 'torch.distributed.run', '--nproc_per_node', '2']
    launch += ['--master_port', '0', '--rdzv_backend', 'c10d', '--rdzv_endpoint', 'localhost:0']
    command = [*launch, TOOL, *arguments, '--out', tmp_path / 'two.json', '--launcher', 'pytorch']
    done = subprocess.run(
        [str(part) for part in command],
        capture_output=True,
        text=True,
        env={**os.environ, 'CUDA_VISIBLE_DEVICES': '', 'OMP_NUM_THREADS': '1'},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert (tmp_path / 'two.json').read_bytes() == (tmp_path / 'one.json').read_bytes()


def test_a_dry_run_says_what_would_be_done_and_changes_nothing(
    call, tool, folder, tmp_path, capsys
):
    write_dataset(tmp_path / 'ann.json', LABELLED)
    before = sorted(tmp_path.rglob('*'))
    arguments = [folder / 'labeler.py', folder / 'labeler.pth', '--ann', tmp_path / 'ann.json']
    arguments += ['--img-root', folder / 'images', '--out', tmp_path / 'out.json', '--dry-run']
    monkey = pytest.MonkeyPatch()
    monkey.setattr(sys, 'argv', ['generate_pseudo_masks.py', *map(str, arguments)])
    assert tool.main() == 0
    monkey.undo()
    said = capsys.readouterr().out
    assert f'{len(LABELLED)} boxes to label' in said and 'nothing was changed' in said
    assert sorted(tmp_path.rglob('*')) == before


def test_only_chosen_categories_change(call, folder, tmp_path):
    data = write_dataset(tmp_path / 'ann.json', LABELLED)
    name = data['categories'][0]['name']
    arguments = [folder / 'labeler.py', folder / 'labeler.pth', '--ann', tmp_path / 'ann.json']
    arguments += ['--img-root', folder / 'images', '--out', tmp_path / 'out.json']
    status, stderr = call(*arguments, '--categories', 'unicorn')
    assert status == 1 and 'no category is called unicorn; the file has: ' in stderr
    summary = tmp_path / 'summary.json'
    assert call(*arguments, '--categories', name, '--summary', summary)[0] == 0
    counts = json.loads(summary.read_text())
    wanted = [a for a in LABELLED if a['category_id'] == data['categories'][0]['id']]
    assert counts['masks'] == len(wanted)
    assert counts['annotations'] == counts['masks'] + counts['passed']


def test_a_clean_file_ends_with_status_0(call, folder, tmp_path):
    data = write_dataset(tmp_path / 'ann.json', LABELLED)
    out = tmp_path / 'out.json'
    status, stderr = call(
        *(folder / 'labeler.py', folder / 'labeler.pth', '--ann', tmp_path / 'ann.json'),
        *('--img-root', folder / 'images', '--out', out, '--device', 'cpu'),
    )
    assert status == 0, stderr
    after = json.loads(out.read_text())
    assert after['mal_mm']['skipped'] == []
    assert after['mal_mm']['network'] == 'teacher'
    assert [a['id'] for a in after['annotations']] == [a['id'] for a in data['annotations']]


def test_an_empty_annotation_list_gives_a_valid_file(call, folder, tmp_path):
    data = write_dataset(tmp_path / 'ann.json', [])
    status, _ = call(
        *(folder / 'labeler.py', folder / 'labeler.pth', '--ann', tmp_path / 'ann.json'),
        *('--img-root', folder / 'images', '--out', tmp_path / 'out.json'),
    )
    assert status == 0
    after = json.loads((tmp_path / 'out.json').read_text())
    assert after.pop('mal_mm')['skipped'] == []
    assert after == data


class Hostile:
    """Unpickling it would make a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def text_file(path, text):
    path.write_text(text)
    return path


def other_architecture(tmp_path, checkpoint):
    state = torch.load(checkpoint, weights_only=True)['state_dict']
    state = {key: value for key, value in state.items() if 'pixel_head.convs.3' not in key}
    torch.save({'state_dict': state}, tmp_path / 'other.pth')
    return tmp_path / 'other.pth'


def hostile(tmp_path, checkpoint):
    torch.save({'state_dict': Hostile(tmp_path / 'ran')}, tmp_path / 'hostile.pth')
    return tmp_path / 'hostile.pth'


def truncated(tmp_path, checkpoint):
    (tmp_path / 'cut.pth').write_bytes(checkpoint.read_bytes()[:-2000])
    return tmp_path / 'cut.pth'


@pytest.mark.parametrize(
    ('changes', 'names', 'says'),
    [
        ({'ann': lambda t, _: text_file(t / 'x.txt', 'hello')}, 'x.txt', 'not valid JSON'),
        ({'ann': lambda t, _: text_file(t / 'x.json', '[]')}, 'x.json', 'expected an object'),
        ({'ann': lambda t, _: text_file(t / 'x.json', '{"images":[')}, 'x.json', 'truncated'),
        ({'ann': lambda t, _: t / 'none.json'}, 'none.json', 'no such annotation file'),
        ({'checkpoint': other_architecture}, 'other.pth', 'another architecture'),
        ({'checkpoint': hostile}, 'hostile.pth', 'could run any code'),
        ({'checkpoint': truncated}, 'cut.pth', 'truncated'),
        ({'checkpoint': lambda t, _: t / 'none.pth'}, 'none.pth', 'no such checkpoint file'),
        ({'config': lambda t, _: t / 'none.py'}, 'none.py', ''),
        ({'img-root': lambda t, _: t / 'none'}, '--img-root', 'is no folder'),
        ({'out': lambda t, _: t / 'none' / 'out.json'}, '--out', 'does not exist'),
        ({'out': lambda t, _: t}, '--out', 'is a folder; give the name of a file'),
        ({'batch-size': lambda t, _: 0}, '`batch_size`', 'must be at least 1'),
        ({'threads': lambda t, _: 0}, '--threads', 'must be at least 1'),
        ({'mask-threshold': lambda t, _: 1.5}, '`mask_threshold`', 'must be in [0, 1)'),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_written(
    call, folder, tmp_path, changes, names, says
):
    options = {
        'config': folder / 'labeler.py',
        'checkpoint': folder / 'labeler.pth',
        'ann': tmp_path / 'ann.json',
        'img-root': folder / 'images',
        'out': tmp_path / 'out.json',
    }
    write_dataset(options['ann'], LABELLED)
    for key, change in changes.items():
        options[key] = change(tmp_path, folder / 'labeler.pth')
    listing = sorted(tmp_path.iterdir())
    positional = options.pop('config'), options.pop('checkpoint')
    status, stderr = call(*positional, *(f'--{key}={value}' for key, value in options.items()))
    assert status == 1
    (line,) = [line for line in stderr.splitlines() if line.startswith('generate_pseudo_masks: ')]
    assert names in line
    assert says in line
    assert 'Traceback' not in stderr
    assert sorted(tmp_path.iterdir()) == listing


def test_ids_that_occur_twice_are_refused(call, folder, tmp_path):
    record = {'id': 1, 'file_name': 'a.png', 'width': 120, 'height': 90}
    write_dataset(tmp_path / 'ann.json', LABELLED, [record, record])
    status, stderr = call(
        *(folder / 'labeler.py', folder / 'labeler.pth', '--ann', tmp_path / 'ann.json'),
        *('--img-root', folder / 'images', '--out', tmp_path / 'out.json'),
    )
    assert status == 1
    assert "ann.json: id 1 occurs twice in 'images'" in stderr
    assert not (tmp_path / 'out.json').exists()
