"""A labelled video: YouTube-VIS in, the same file with a mask for every box out."""

from __future__ import annotations

import copy
import json

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask
from sharp_labeler import blotches
from tiny_instant import instant_config, instant_model

from mal_mm.convert import Findings, ReadOptions, WriteOptions
from mal_mm.convert.youtube_vis import read_youtube_vis, write_youtube_vis
from mal_mm.evaluation.mask_iou import evaluate
from mal_mm.formats import AnnotationError, mal_fields, read_json
from mal_mm.formats.coco import CocoStream
from mal_mm.formats.videos import VideoStream, open_annotations, read_annotations
from mal_mm.labeling import LabelingEngine, LabelingJob
from mal_mm.labeling.plan import Selection

pytestmark = pytest.mark.slow  # nothing here depends on the stack

SIZE = dict(width=60, height=45)
# a human mask, in the uncompressed form that YouTube-VIS publishes
HUMAN = {'size': [45, 60], 'counts': [0, 90, 2610]}


def youtube_vis() -> dict:
    """As train.json of YouTube-VIS 2021: two videos, objects that come and go."""
    names = {7: ['a b/00000.jpg', 'a b/00005.jpg', 'a b/00010.jpg'], 3: ['ж/00000.jpg']}
    videos = [
        {**SIZE, 'length': len(each), 'date_captured': '2019-04-11', 'license': 1,
         'file_names': each, 'id': number}
        for number, each in names.items()
    ]  # fmt: skip

    def track(number, video, boxes, masks=None, **more):
        masks = masks or [None] * len(boxes)
        return {
            'video_id': video, 'iscrowd': 0, **SIZE, 'length': len(boxes),
            'segmentations': masks, 'bboxes': boxes, 'category_id': 2, 'id': number,
            'areas': [mask and 90 for mask in masks], **more,
        }  # fmt: skip

    tracks = [
        track(41, 7, [[5.0, 5, 30, 25], None, [8, 6, 31, 26.5]], occlusion=['no', 'full', 'no']),
        track(40, 3, [[2, 2, 20, 20]]),
        track(42, 7, [None, [30, 10, 20.5, 30], None], [HUMAN, HUMAN, None]),
        track(39, 3, [[500, 2, 20, 20]]),  # beside its frame
        track(38, 5, [[1, 1, 9, 9]]),  # of a video that is not in the file
        track(37, 7, [[1, 1, 9, 9]] * 4),  # longer than its video
    ]
    categories = [{'supercategory': 'object', 'id': 2, 'name': 'airplane'}]
    info = {'description': 'YouTube-VIS', 'year': 2021}
    return {'licenses': [], 'categories': categories, 'videos': videos, 'info': info,
            'annotations': tracks}  # fmt: skip


@pytest.fixture(scope='module')
def engine():
    return LabelingEngine(instant_model(), batch_size=1, **instant_config()['test_cfg'])


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp('video')
    for seed, video in enumerate(youtube_vis()['videos']):
        for name in video['file_names']:
            (root / name).parent.mkdir(exist_ok=True)
            Image.fromarray(blotches(45, 60, seed)).save(root / name)
    (root / 'ann.json').write_text(json.dumps(youtube_vis()))
    return root


def label(folder, engine, out, selection=None):
    job = LabelingJob(folder / 'ann.json', out, folder, engine, {'config': 'tiny'}, selection)
    return job.run(resume=True), json.loads(out.read_text())


@pytest.fixture(scope='module')
def labelled(folder, engine, tmp_path_factory):
    return label(folder, engine, tmp_path_factory.mktemp('out') / 'out.json')


def test_every_box_gets_a_mask_and_all_else_stays(labelled):
    summary, data = labelled
    given = youtube_vis()
    assert (summary.masks, len(summary.skips)) == (7, 3)
    assert list(data) == [*given, 'mal_mm']
    for before, after in zip(given['annotations'], data['annotations'], strict=True):
        kept = {k: v for k, v in after.items() if not k.startswith('mal_')}
        changed = ('segmentations', 'areas')
        assert list(kept) == list(before)
        assert {k: v for k, v in kept.items() if k not in changed} == {
            k: v for k, v in before.items() if k not in changed
        }
    for key in ('licenses', 'categories', 'videos', 'info'):
        assert data[key] == given[key]


def test_masks_areas_and_quality_stand_at_their_frames(labelled):
    tracks = {track['id']: track for track in labelled[1]['annotations']}
    for number, frames in ((41, [0, 2]), (40, [0]), (42, [1])):
        track = tracks[number]
        assert [n for n, q in enumerate(track['mal_quality']) if q is not None] == frames
        for frame in frames:
            mask = coco_mask.decode(track['segmentations'][frame])
            assert mask.shape == (45, 60) and mask.sum() == track['areas'][frame] > 0
            x, y, w, h = (round(v) for v in track['bboxes'][frame])
            assert mask[y : y + h, x : x + w].sum() >= mask.sum() * 0.9
    # a frame without a box keeps what it has
    assert tracks[42]['segmentations'][0] == HUMAN and tracks[42]['areas'][0] == 90
    assert tracks[41]['segmentations'][1] is None and tracks[41]['areas'][1] is None


def test_boxes_that_cannot_be_labelled_say_why_at_their_frame(labelled):
    tracks = {track['id']: track for track in labelled[1]['annotations']}
    assert 'outside its 60 x 45' in tracks[39]['mal_skipped'][0]
    assert "'video 5, frame 0' is not among" in tracks[38]['mal_skipped'][0]
    longer = tracks[37]
    assert longer['mal_skipped'][:3] == [None] * 3 and 'frame 3' in longer['mal_skipped'][3]
    assert 'mal_skipped' not in tracks[41]


def test_only_missing_leaves_masks_of_people_alone(folder, engine, tmp_path):
    summary, data = label(folder, engine, tmp_path / 'out.json', Selection(only_missing=True))
    track = next(track for track in data['annotations'] if track['id'] == 42)
    assert track == next(t for t in youtube_vis()['annotations'] if t['id'] == 42)
    assert (summary.passed, summary.masks) == (1, 6)


def test_mask_that_a_human_has_confirmed_is_never_drawn_again(folder, engine, labelled, tmp_path):
    data = copy.deepcopy(labelled[1])
    track = next(track for track in data['annotations'] if track['id'] == 41)
    track['segmentations'][2], track['mal_human'] = HUMAN, [None, None, 1]
    (folder / 'confirmed.json').write_text(json.dumps(data))
    out = tmp_path / 'out.json'
    job = LabelingJob(folder / 'confirmed.json', out, folder, engine, {'config': 'tiny'})
    assert job.run().passed == 1
    found = next(t for t in json.loads(out.read_text())['annotations'] if t['id'] == 41)
    assert found['segmentations'][2] == HUMAN and found['mal_human'] == [None, None, 1]
    assert found['segmentations'][0] == track['segmentations'][0]


def test_labelled_again_it_is_the_same_file(folder, engine, labelled, tmp_path):
    again = tmp_path / 'again.json'
    job = LabelingJob(folder / 'ann.json', again, folder, engine, {'config': 'tiny'})
    job.ann.write_text(json.dumps(labelled[1]))
    try:
        _, data = label(folder, engine, again)
    finally:
        job.ann.write_text(json.dumps(youtube_vis()))
    assert data['annotations'] == labelled[1]['annotations']


def test_frames_are_compared_one_by_one(folder, labelled, tmp_path):
    (tmp_path / 'out.json').write_text(json.dumps(labelled[1]))
    frames = read_annotations(tmp_path / 'out.json')
    assert len(frames['images']) == 4 and len(frames['annotations']) == 10
    assert frames['annotations'][0]['id'] == 'track 41, frame 0'
    assert mal_fields.head_of(frames)['config'] == 'tiny'
    same = evaluate(frames, copy.deepcopy(frames))
    assert same['masks']['mean_iou'] == 1


def test_files_of_other_forms_are_told_apart_or_refused(tmp_path):
    path = tmp_path / 'ann.json'
    path.write_text('{"images": [], "videos": [], "annotations": []}')
    assert isinstance(open_annotations(path), CocoStream)
    wrong = {
        'videos[0] has no list `file_names`': lambda d: d['videos'][0].pop('file_names'),
        'videos[1] needs an `id` of its own': lambda d: d['videos'][1].update(id=7),
        "'bboxes' must be a list": lambda d: d['annotations'][2].update(bboxes={'0': [1, 2]}),
    }
    for reason, change in wrong.items():
        data = youtube_vis()
        change(data)
        path.write_text(json.dumps(data))
        with pytest.raises(AnnotationError) as error:
            VideoStream(path)
        assert reason in str(error.value)
    path.write_text(json.dumps(youtube_vis()))
    with pytest.raises(AnnotationError, match='`mal-mm convert youtube-vis` makes an image'):
        CocoStream(path)


def test_masks_of_frames_are_what_their_pictures_give(folder, engine, labelled):
    """The same boxes as single pictures: the video adds nothing and loses nothing."""
    image = np.asarray(Image.open(folder / 'a b' / '00005.jpg'))
    box = np.array([[30, 10, 50.5, 40]])
    stray = np.array([[1, 1, 10, 10]])  # track 37 is in that frame too
    boxes = np.concatenate([box, stray])
    alone = engine.label(engine.make_crops(image, boxes))[0]
    tracks = {track['id']: track for track in labelled[1]['annotations']}
    assert tracks[42]['segmentations'][1] == alone.rle


def test_converted_to_images_and_back_the_masks_keep_their_quality(labelled, tmp_path):
    data = copy.deepcopy(labelled[1])
    sound = (41, 40, 42)  # the others have boxes that belong nowhere
    data['annotations'] = [track for track in data['annotations'] if track['id'] in sound]
    (tmp_path / 'video.json').write_text(json.dumps(data))
    found = Findings()
    frames = read_youtube_vis(tmp_path / 'video.json', ReadOptions(), found)
    assert all('mal_quality' in each for each in frames['annotations'] if 'bbox' in each)
    write_youtube_vis(frames, tmp_path / 'back.json', WriteOptions(), found)
    assert not found.lost and not found.noted
    back = {track['id']: track for track in read_json(tmp_path / 'back.json')['annotations']}
    for track in data['annotations']:
        for key in ('bboxes', 'areas', 'mal_quality'):
            assert back[track['id']][key] == track[key]
