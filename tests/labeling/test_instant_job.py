"""A job of a labeler that is not trained: whole images, kills, the same file every time."""

from __future__ import annotations

import json
import multiprocessing
import signal
import time

import numpy as np
import pytest
import torch
from PIL import Image
from pycocotools import mask as coco_mask
from sharp_labeler import blotches
from tiny_instant import instant_config, instant_model

from mal_mm.labeling import LabelingEngine, LabelingJob

BOXES = [6, 2, 2, 3, 2]  # of each image
IMAGES = len(BOXES)
FORK = multiprocessing.get_context('fork')  # a child that has everything imported already


@pytest.fixture(scope='module')
def engine():
    # portions of four boxes
    return LabelingEngine(instant_model(), batch_size=1, **instant_config()['test_cfg'])


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """Images with boxes that overlap; one has more than a portion holds."""
    root = tmp_path_factory.mktemp('instant')
    random = np.random.default_rng(0)
    images = [{'id': n, 'file_name': f'{n}.png', 'width': 60, 'height': 45} for n in range(IMAGES)]
    annotations = []
    for image in images:
        Image.fromarray(blotches(45, 60, image['id'])).save(root / image['file_name'])
        for _ in range(BOXES[image['id']]):
            x, y = random.uniform(0, 25, 2).tolist()
            w, h = random.uniform(8, 30, 2).tolist()
            annotations.append(
                {'image_id': image['id'], 'bbox': [x, y, w, h], 'category_id': image['id'] % 2}
            )
    for number, annotation in enumerate(annotations):
        annotation['id'] = 1000 - number
    data = {
        'images': images,
        'annotations': annotations,
        'categories': [{'id': 0, 'name': 'even'}, {'id': 1, 'name': 'odd'}],
    }
    (root / 'ann.json').write_text(json.dumps(data))
    return root


def make_job(folder, engine, out):
    return LabelingJob(folder / 'ann.json', out, folder, engine, {'config': 'instant'})


@pytest.fixture(scope='module')
def unbroken(folder, engine, tmp_path_factory):
    out = tmp_path_factory.mktemp('unbroken') / 'out.json'
    make_job(folder, engine, out).run()
    return out.read_bytes()


def test_no_image_is_cut_where_its_boxes_have_to_be_seen_together(folder, engine, unbroken):
    job = make_job(folder, engine, folder / 'unused.json')
    images = job.plan.image_indices
    assert len(job.portions) > 3
    for (_, stop), (start, _) in zip(job.portions, job.portions[1:], strict=False):
        assert stop == start and images[stop - 1] != images[start]
    assert max(stop - start for start, stop in job.portions) > 4
    claimed = {}
    for annotation in json.loads(unbroken)['annotations']:
        if annotation.get('mal_flag') == 'empty_mask':
            continue  # its box stands in for it
        mask = coco_mask.decode(annotation['segmentation'])
        image_id = annotation['image_id']
        claimed[image_id] = claimed.get(image_id, 0) + mask
    assert len(claimed) == IMAGES
    assert all(count.max() == 1 for count in claimed.values())


def test_three_kills_leave_the_same_file_byte_for_byte(folder, engine, unbroken, tmp_path):
    job = make_job(folder, engine, tmp_path / 'out.json')
    kills, random = 0, np.random.default_rng(1)
    threads = torch.get_num_threads()
    for kill in range(3):
        process = FORK.Process(target=job.run, kwargs={'resume': True})
        process.start()
        wanted = len(unbroken) * (kill + random.random()) / 20
        while process.is_alive() and _part_bytes(job) < wanted:
            time.sleep(0.0005)
        process.kill()
        process.join()
        kills += process.exitcode == -signal.SIGKILL
        assert not job.out.exists()
    assert kills == 3
    assert job.folder.is_dir()
    torch.set_num_threads(2)  # whoever goes on may have more
    try:
        job.run(resume=True)
    finally:
        torch.set_num_threads(threads)
    assert job.out.read_bytes() == unbroken


def _part_bytes(job):
    return sum(path.stat().st_size for path in job.folder.glob('*.part'))


def test_another_labeling_is_not_gone_on_with(folder, engine, tmp_path):
    job = make_job(folder, engine, tmp_path / 'out.json')
    job._finish = lambda: None  # stops short of the end
    job.run()
    other = LabelingJob(
        folder / 'ann.json', job.out, folder, engine, {'config': 'instant', 'refine': 'none'}
    )
    with pytest.raises(RuntimeError, match='refine'):
        other.run(resume=True)
