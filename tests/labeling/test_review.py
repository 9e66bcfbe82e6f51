"""A review's marks in the labeling: what is drawn again, what is left out, what stays."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image
from sharp_labeler import blotches
from tiny_instant import instant_config, instant_model

from mal_mm.formats.review_marks import mask_digest, read_marks
from mal_mm.labeling import LabelingEngine, LabelingJob
from mal_mm.labeling.plan import Selection
from mal_mm.labeling.review import check_redo, write_marked
from mal_mm.phase2.unused_masks import why_unused

pytestmark = pytest.mark.slow  # nothing here depends on the stack


def engine(**changes):
    settings = {**instant_config()['test_cfg'], **changes}
    return LabelingEngine(instant_model(), batch_size=4, **settings)


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """A labelled file of eight boxes in two images, and its head."""
    root = tmp_path_factory.mktemp('review')
    random = np.random.default_rng(0)
    annotations = []
    for image in range(2):
        Image.fromarray(blotches(45, 60, image)).save(root / f'{image}.png')
        for _ in range(4):
            x, y, w, h = (*random.uniform(0, 25, 2).tolist(), *random.uniform(8, 30, 2).tolist())
            annotations.append({'image_id': image, 'bbox': [x, y, w, h], 'category_id': 1})
    for number, annotation in enumerate(annotations):
        annotation.update(id=10 + number, note=0.1 + number)
    images = [{'id': n, 'file_name': f'{n}.png', 'width': 60, 'height': 45} for n in range(2)]
    data = {'images': images, 'annotations': annotations, 'categories': [{'id': 1, 'name': 'a'}]}
    (root / 'boxes.json').write_text(json.dumps(data))
    job(root, 'boxes.json', 'masks.json', engine(), 'first').run()
    return root


def job(root, ann, out, labeler, config, marks=None):
    selection = Selection(redo=marks)
    identity = {'config': config}
    return LabelingJob(root / ann, root / out, root, labeler, identity, selection)


def annotations(path):
    return {a['id']: a for a in json.loads(path.read_text())['annotations']}


def marks_of(root, name, **marks):
    """marks_of(root, 'marks.json', reject=[11], accept=[12])"""
    known = annotations(root / 'masks.json')
    entries = [
        dict(annotation_id=i, mark=mark, mask=mask_digest(known[i]['segmentation']))
        for mark, ids in marks.items()
        for i in ids
    ]
    path = root / name
    data = {'format': 'mal_mm review marks', 'version': 1, 'marks': entries}
    path.write_text(json.dumps(data))
    return read_marks(path)


def test_redo_draws_the_marked_masks_alone_and_leaves_all_others(folder):
    marks = marks_of(folder, 'redo.json', reject=[11, 14], needs_work=[16], accept=[12])
    other = engine(mask_threshold=0.9, margin=0.1, refine='none')
    summary = job(folder, 'masks.json', 'again.json', other, 'second', marks).run()
    assert (summary.masks, summary.passed, summary.annotations) == (3, 5, 8)
    before, after = annotations(folder / 'masks.json'), annotations(folder / 'again.json')
    assert list(before) == list(after)
    changed = {i for i in before if before[i] != after[i]}
    assert changed and changed <= {11, 14, 16}
    assert len(changed) == 3 - summary.same
    for i in set(before) - {11, 14, 16}:
        assert json.dumps(before[i]) == json.dumps(after[i])
    head = json.loads((folder / 'again.json').read_text())['mal_mm']
    assert (head['config'], head['before']['config']) == ('second', 'first')
    # the marks are of masks that are gone: the same again does nothing
    again = job(folder, 'again.json', 'third.json', other, 'second', marks)
    assert len(again.plan.places) == summary.same
    assert '1 of 3 marked masks' in check_redo(marks, 1, 'again.json')
    with pytest.raises(ValueError, match='none of its 3 rejected masks and masks that need work'):
        check_redo(marks, 0, 'again.json')


def test_masks_that_come_out_as_they_were_are_counted(folder):
    marks = marks_of(folder, 'same.json', reject=[10, 15])
    summary = job(folder, 'masks.json', 'same_out.json', engine(), 'first', marks).run()
    assert summary.same == 2
    assert annotations(folder / 'same_out.json') == annotations(folder / 'masks.json')


def test_accepted_masks_alone_leave_nothing_to_redo(folder):
    marks = marks_of(folder, 'accepted.json', accept=[10])
    with pytest.raises(ValueError, match="no mask is marked 'reject' or 'needs_work'"):
        check_redo(marks, 0, 'masks.json')


def test_rejected_masks_stay_in_the_file_and_out_of_training(folder):
    marks = marks_of(folder, 'reject.json', reject=[11], needs_work=[12], accept=[13])
    counts = write_marked(folder / 'masks.json', marks, folder / 'kept.json')
    assert counts == {'reject': 1, 'needs_work': 1, 'accept': 1, 'outdated': 0}
    before, after = annotations(folder / 'masks.json'), annotations(folder / 'kept.json')
    assert after[11] == {**before[11], 'mal_review': 'reject', 'ignore': 1}
    assert after[12] == {**before[12], 'mal_review': 'needs_work'}
    assert after[13] == {**before[13], 'mal_review': 'accept'}
    assert all(after[i] == before[i] for i in (10, 14, 15, 16, 17))
    data = json.loads((folder / 'kept.json').read_text())
    images = {image['id']: image for image in data['images']}
    unused = {i for i, a in after.items() if why_unused(a, images, {1}) is not None}
    assert unused == {11}
    assert data['mal_mm']['review'].startswith('reject.json (sha256 ')

    # drawn again, it is an annotation like any other
    redo = job(folder, 'kept.json', 'redone.json', engine(), 'first', marks)
    redo.run()
    assert annotations(folder / 'redone.json')[11] == before[11]


def test_marks_of_another_file_are_refused_and_nothing_is_written(folder):
    marks = marks_of(folder, 'foreign.json', reject=[11])
    with pytest.raises(ValueError, match=r'none of its 1 marks fits a mask of .*boxes\.json'):
        write_marked(folder / 'boxes.json', marks, folder / 'nothing.json')
    assert not (folder / 'nothing.json').exists()


def test_an_accepted_mask_is_not_drawn_again(folder, tmp_path):
    marks = marks_of(folder, 'accepted.json', accept=[12])
    write_marked(folder / 'masks.json', marks, folder / 'kept.json')
    labeler = engine(mask_threshold=0.3, flip=True)
    job(folder, 'kept.json', 'again.json', labeler, 'second').run()
    before, after = annotations(folder / 'kept.json'), annotations(folder / 'again.json')
    assert after[12] == before[12]
    assert any(after[number] != before[number] for number in before)
