"""The conservation law of labeling: what goes in comes out, and nothing but masks is added.

For any COCO-style file, however strange its records: as many annotations come out as went in, in
their order, each with its foreign fields; every top-level key stays; an annotation has a new mask,
passed through untouched, or is marked as skipped, and the summary adds up to that; masks are valid
RLEs of their image's size, inside the reach of their box, with the area that they state; the exit
status tells whether something was skipped; a second run and a run of two ranks give the same
bytes; and what was skipped for its image is labelled by a rerun once the image is there.
"""

from __future__ import annotations

import copy
import importlib.util
import json
import math
import multiprocessing
import socket
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch.distributed
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from pycocotools import mask as coco_mask
from sharp_labeler import blotches, sharp_model, write_sharp_labeler

from mal_mm.formats import check_rle
from mal_mm.geometry import expand_fixed
from mal_mm.labeling import JobError, LabelingEngine, LabelingJob, Selection

FORK = multiprocessing.get_context('fork')
W, H = 40, 30
CROP = 32
# what labeling may write into an annotation
WRITTEN = {'segmentation', 'area', 'mal_quality', 'mal_flag', 'mal_skipped'}
GOOD_NAMES = ['a.png', 'b c.jpg', 'deep.png']
BAD_NAMES = ['missing.png', 'empty.png', 'half.jpg', '../outside.png', '/etc/hostname', None, 7]


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp('law')
    images = folder / 'images'
    images.mkdir()
    for seed, name in enumerate(['a.png', 'b c.jpg', 'half.jpg']):
        Image.fromarray(blotches(H, W, seed)).save(images / name)
    Image.fromarray(blotches(H, W, 3)[..., 0].astype(np.uint16) << 8).save(images / 'deep.png')
    (images / 'empty.png').write_bytes(b'')
    (images / 'half.jpg').write_bytes((images / 'half.jpg').read_bytes()[:500])
    write_sharp_labeler(folder)
    return folder


@pytest.fixture(scope='module')
def engine():
    return LabelingEngine(sharp_model(), crop_size=CROP, mask_threshold=0.5, batch_size=2)


# -- random files ---------------------------------------------------------------------------------

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=5,
)
OURS = WRITTEN | {
    *('id', 'bbox', 'iscrowd', 'ignore', 'image_id', 'category_id', 'images', 'annotations'),
    *('categories', 'file_name', 'coco_url', 'width', 'height', 'name', 'mal_mm', 'info'),
}
foreign = st.dictionaries(
    st.text(min_size=1, max_size=8).filter(lambda key: key not in OURS),
    json_values,
    max_size=3,
)  # fmt: skip
sides = st.sampled_from([W, W, W, float(W), None, str(W), 0, -1, W + 1, 2**70])
numbers = st.floats(-10, 60) | st.integers(-10, 60)
boxes = (
    st.tuples(st.floats(-5, 35), st.floats(-5, 25), st.floats(1, 45), st.floats(1, 35)).map(list)
    | st.lists(numbers | st.sampled_from([math.inf, 1e308, '1', None]), max_size=5)
    | st.sampled_from([None, 'box', {}, [0, 0, W, H], [-1e9, -1e9, 2e9, 2e9], [1, 1, 1e-9, 1e-9]])
)
segmentations = st.sampled_from(
    [
        [[1, 1, 9, 1, 9, 9]],
        [[]],
        [],
        None,
        {'size': [H, W], 'counts': [40, 20, H * W - 60]},
        {'size': [W, H], 'counts': [40, 20, H * W - 60]},
        {'size': [H, W], 'counts': 'damaged'},
        'text',
    ]
)


@st.composite
def files(draw) -> dict:
    ids = draw(
        st.lists(st.integers(0, 9) | st.text(max_size=2), min_size=1, max_size=6, unique=True)
    )
    names = st.sampled_from(GOOD_NAMES * 3 + BAD_NAMES)
    images = [
        {
            **draw(foreign),
            'id': number,
            'file_name': GOOD_NAMES[0] if place == 0 else draw(names),
            'width': draw(sides),
            'height': H,
        }
        for place, number in enumerate(ids)
    ]
    annotations = []
    for number in range(draw(st.integers(0, 9))):
        annotation = {
            **draw(foreign),
            'id': draw(st.just(number) | st.text(max_size=2)),
            'image_id': draw(st.sampled_from([*ids, *ids, *ids, 'none', [1]])),
            'category_id': draw(st.sampled_from([1, 1, 1, 'x', None])),
            'bbox': draw(boxes),
        }
        if draw(st.booleans()):
            annotation['segmentation'] = draw(segmentations)
        if draw(st.integers(0, 5)) == 0:
            annotation['iscrowd'] = draw(st.sampled_from([0, 1, True]))
        if draw(st.integers(0, 5)) == 0:
            annotation['mal_skipped'] = 'of an earlier run'
        for key in draw(st.sets(st.sampled_from(['image_id', 'bbox', 'category_id']), max_size=1)):
            if draw(st.integers(0, 4)) == 0:
                del annotation[key]
        annotations.append(annotation)
    data = {
        'info': draw(json_values),
        **{f'my {key}': value for key, value in draw(foreign).items()},
        'images': images,
        'annotations': annotations,
    }
    if draw(st.booleans()):
        data['categories'] = [{'id': 1, 'name': 'x', **draw(foreign)}]
    return data


# -- the law --------------------------------------------------------------------------------------


def without(record: dict, keys: set) -> str:
    return json.dumps({key: value for key, value in record.items() if key not in keys})


def check_law(before: dict, after: dict, summary, only_missing: bool) -> None:
    assert list(after) == [*before, 'mal_mm']
    for key in before.keys() - {'annotations'}:
        assert json.dumps(after[key]) == json.dumps(before[key])
    assert len(after['annotations']) == len(before['annotations']) == summary.annotations
    images = {json.dumps(image['id']): image for image in before['images']}
    masks = passed = 0
    skips = []
    for old, new in zip(before['annotations'], after['annotations'], strict=True):
        assert without(new, WRITTEN) == without(old, WRITTEN)
        if 'mal_skipped' in new:
            skips.append((new['id'], new['mal_skipped']))
            assert 'mal_quality' not in new
            if old.get('segmentation') not in (None, [], [[]]):
                assert new['segmentation'] == old['segmentation']
            else:  # none before: an empty one, that training leaves out
                check_rle(new['segmentation'])
                assert new['area'] == 0 == coco_mask.area(new['segmentation'])
            continue
        if 'mal_quality' not in new:
            assert json.dumps(new) == json.dumps(old)
            assert old.get('iscrowd') or only_missing
            passed += 1
            continue
        masks += 1
        rle = new['segmentation']
        check_rle(rle)
        assert rle['size'] == [H, W]
        assert new['area'] == coco_mask.area(rle) > 0
        assert 0 <= new['mal_quality'] <= 1
        x, y, w, h = old['bbox']
        box = np.clip([x, y, x + w, y + h], 0, [W, H, W, H])
        window = expand_fixed(box)[0]
        reach = np.tile(np.ceil((window[2:] - window[:2]) / CROP), 2)
        left, top, width, height = coco_mask.toBbox(rle)
        assert left >= np.floor(box[0]) - reach[0] and top >= np.floor(box[1]) - reach[1]
        assert left + width <= np.floor(box[2]) + 1 + reach[2]
        assert top + height <= np.floor(box[3]) + 1 + reach[3]
        assert images[json.dumps(old['image_id'])]['file_name'] in GOOD_NAMES
    assert (summary.masks, summary.passed) == (masks, passed)
    assert [(skip.annotation_id, skip.reason) for skip in summary.skips] == skips
    assert [(s['annotation_id'], s['reason']) for s in after['mal_mm']['skipped']] == skips
    assert masks + passed + len(skips) == len(before['annotations'])
    assert sum(summary.qualities) == masks


def job(folder, engine, ann: Path, out: str, only_missing: bool = False) -> LabelingJob:
    selection = Selection(only_missing=only_missing)
    return LabelingJob(ann, ann.with_name(out), folder / 'images', engine, {}, selection)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=files(), only_missing=st.booleans())
def test_what_goes_in_comes_out(folder, engine, data, only_missing):
    with tempfile.TemporaryDirectory() as place:
        ann = Path(place, 'ann.json')
        ann.write_text(json.dumps(data))
        before = json.loads(ann.read_text())
        try:
            summary = job(folder, engine, ann, 'out.json', only_missing).run()
        except JobError as error:  # nothing of it is there
            assert 'none of the' in str(error)
            assert [each.name for each in Path(place).iterdir()] == ['ann.json']
            return
        written = Path(place, 'out.json').read_bytes()
        check_law(before, json.loads(written), summary, only_missing)
        # a second run is the first one again, and the input is what it was
        job(folder, engine, ann, 'again.json', only_missing).run()
        assert Path(place, 'again.json').read_bytes() == written
        assert json.loads(ann.read_text()) == before
        names = sorted(each.name for each in Path(place).iterdir())
        assert names == ['again.json', 'ann.json', 'out.json']
        # whatever was written can be read, and be labelled once more with the same masks
        try:
            third = job(folder, engine, Path(place, 'out.json'), 'third.json').run()
        except JobError as error:  # all that is left to draw is on missing images
            assert 'none of the' in str(error)
            return
        assert third.annotations == summary.annotations
        assert len(third.skips) <= len(summary.skips) or only_missing


def rank(made: LabelingJob, number: int, port: int) -> None:
    torch.distributed.init_process_group(
        'gloo', init_method=f'tcp://127.0.0.1:{port}', rank=number, world_size=2
    )
    made.run()
    torch.distributed.destroy_process_group()


@settings(max_examples=3, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=files().filter(lambda data: len(data['annotations']) > 4))
def test_two_ranks_give_the_bytes_of_one(folder, engine, data):
    with tempfile.TemporaryDirectory() as place:
        ann = Path(place, 'ann.json')
        ann.write_text(json.dumps(data))
        try:
            job(folder, engine, ann, 'one.json').run()
        except JobError:
            return
        with socket.socket() as free:
            free.bind(('127.0.0.1', 0))
            port = free.getsockname()[1]
        made = job(folder, engine, ann, 'two.json')
        ranks = [FORK.Process(target=rank, args=(made, number, port)) for number in range(2)]
        for process in ranks:
            process.start()
        for process in ranks:
            process.join()
        assert [process.exitcode for process in ranks] == [0, 0]
        assert Path(place, 'two.json').read_bytes() == Path(place, 'one.json').read_bytes()


@settings(max_examples=4, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=files())
def test_the_exit_status_tells_whether_something_was_skipped(folder, data, monkeypatch, capsys):
    path = Path(__file__).parents[1] / 'tools' / 'generate_pseudo_masks.py'
    spec = importlib.util.spec_from_file_location('law_tool', path)
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    with tempfile.TemporaryDirectory() as place:
        ann, out, counts = (Path(place, name) for name in ('ann.json', 'out.json', 'sum.json'))
        ann.write_text(json.dumps(data))
        words = [folder / 'labeler.py', folder / 'labeler.pth', '--ann', ann, '--out', out]
        words += ['--img-root', folder / 'images', '--summary', counts, '--batch-size', '2']
        monkeypatch.setattr(sys, 'argv', ['generate_pseudo_masks.py', *map(str, words)])
        status = tool.main()
        assert 'Traceback' not in capsys.readouterr().err
        if status == 1:
            assert not out.exists() and not counts.exists()
            return
        summary = json.loads(counts.read_text())
        skipped = sum('mal_skipped' in each for each in json.loads(out.read_text())['annotations'])
        assert status == (3 if skipped else 0)
        assert len(summary['skipped']) == skipped
        parts = summary['masks'] + summary['passed'] + skipped
        assert parts == summary['annotations'] == len(data['annotations'])


@pytest.mark.parametrize('only_missing', [True, False])
def test_what_was_skipped_is_healed_by_a_rerun(folder, engine, tmp_path, only_missing):
    images = tmp_path / 'images'
    images.mkdir()
    for n in range(3):
        Image.fromarray(blotches(H, W, n)).save(images / f'{n}.png')
    whole = {n: (images / f'{n}.png').read_bytes() for n in range(3)}
    data = {
        'images': [{'id': n, 'file_name': f'{n}.png', 'width': W, 'height': H} for n in range(3)],
        'annotations': [
            {'id': n, 'image_id': n % 3, 'category_id': 1, 'bbox': [5, 5, 20, 15]}
            for n in range(9)
        ],
        'categories': [{'id': 1, 'name': 'x'}],
    }
    data['annotations'][4]['segmentation'] = [[6, 6, 20, 6, 20, 18]]  # of an image that goes
    data['annotations'][4]['area'] = 84
    (tmp_path / 'ann.json').write_text(json.dumps(data))
    unbroken = copy.deepcopy(data)
    (images / '1.png').unlink()
    (images / '2.png').write_bytes(whole[2][:100])

    def label(ann: str, out: str, rerun: bool):
        made = LabelingJob(
            tmp_path / ann,
            tmp_path / out,
            images,
            engine,
            {},
            Selection(only_missing=rerun and only_missing),
        )
        return made.run(), json.loads((tmp_path / out).read_text())

    summary, _first = label('ann.json', 'first.json', False)
    assert (summary.masks, len(summary.skips)) == (3, 6)
    for n in (1, 2):
        (images / f'{n}.png').write_bytes(whole[n])
    summary, healed = label('first.json', 'healed.json', True)
    assert (summary.masks, summary.passed) == ((6, 3) if only_missing else (9, 0))
    assert not summary.skips
    (tmp_path / 'ann.json').write_text(json.dumps(unbroken))
    _, expected = label('ann.json', 'expected.json', False)
    # in other batches, a pixel at the edge of a mask may fall to the other side
    for one, other in zip(healed['annotations'], expected['annotations'], strict=True):
        assert one.keys() == other.keys()
        assert coco_mask.iou([one['segmentation']], [other['segmentation']], [0])[0, 0] > 0.95
