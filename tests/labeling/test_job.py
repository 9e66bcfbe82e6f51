"""LabelingJob under real faults: kills, torn files, full disks, several ranks."""

from __future__ import annotations

import errno
import fcntl
import json
import multiprocessing
import os
import resource
import shutil
import signal
import socket
import time
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch.distributed
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from sharp_labeler import blotches, sharp_model

from mal_mm.formats import read_coco
from mal_mm.labeling import (
    JobError,
    LabelingEngine,
    LabelingJob,
    Selection,
    job_folder,
    job_lock,
    label_coco,
)
from mal_mm.labeling.image_io import ImageStamp
from mal_mm.labeling.job_lock import InUseError, JobLock
from mal_mm.labeling.part_files import PartIndex, PartWriter, read_portions
from mal_mm.labeling.plan import make_plan

IMAGES, KILLS = 24, 20
FORK = multiprocessing.get_context('fork')  # a child that has everything imported already


@pytest.fixture(scope='module')
def engine():
    return LabelingEngine(sharp_model(), crop_size=32, mask_threshold=0.5, batch_size=2)


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """Images of up to five boxes in any order, one image missing, a crowd, broken boxes."""
    root = tmp_path_factory.mktemp('job')
    random = np.random.default_rng(0)
    images = [{'id': n, 'file_name': f'{n}.png', 'width': 60, 'height': 45} for n in range(IMAGES)]
    for image in images:
        if image['id'] != 7:
            Image.fromarray(blotches(45, 60, image['id'])).save(root / image['file_name'])
    annotations = []
    for image in random.permutation(IMAGES).tolist() * 3:
        for _ in range(random.integers(0, 3)):
            x, y = random.uniform(-5, 30, 2).tolist()
            w, h = random.uniform(3, 40, 2).tolist()
            annotations.append({'image_id': image, 'bbox': [x, y, w, h], 'category_id': image % 2})
    annotations[5]['bbox'] = [1, 2, -3, 4]
    annotations[9].update(iscrowd=1, segmentation={'size': [45, 60], 'counts': 'h'})
    for number, annotation in enumerate(annotations):
        annotation.update(id=1000 - number, note='é')
    data = {
        'info': {'year': 2026},
        'images': images,
        'annotations': annotations,
        'categories': [{'id': 0, 'name': 'even'}, {'id': 1, 'name': 'odd'}],
        'licenses': [],
    }
    (root / 'ann.json').write_text(json.dumps(data))
    return root


@pytest.fixture
def make_job(folder, engine, tmp_path):
    def make(out: str = 'out.json', **arguments) -> LabelingJob:
        identity = arguments.pop('identity', {'checkpoint': 'a'})
        ann = arguments.pop('ann', folder / 'ann.json')
        return LabelingJob(ann, tmp_path / out, folder, engine, identity, **arguments)

    return make


@pytest.fixture
def unbroken(make_job, tmp_path) -> bytes:
    make_job('unbroken.json').run()
    assert not (tmp_path / 'unbroken.json.parts').exists()
    return (tmp_path / 'unbroken.json').read_bytes()


# -- a run without faults -------------------------------------------------------------------------


def test_the_file_is_what_labeling_in_memory_gives(unbroken, folder, engine):
    expected = read_coco(folder / 'ann.json')
    summary = label_coco(expected, folder, engine)
    found = json.loads(unbroken)
    head = found.pop('mal_mm')
    assert head['checkpoint'] == 'a'
    assert [skip['annotation_id'] for skip in head['skipped']] == [
        skip.annotation_id for skip in summary.skips
    ]
    assert found == expected
    assert list(found) == list(expected)


def test_every_annotation_comes_out_in_order_with_its_other_fields(unbroken, folder):
    before = json.loads((folder / 'ann.json').read_text())['annotations']
    after = json.loads(unbroken)['annotations']
    new = {'segmentation', 'area', 'mal_quality', 'mal_flag', 'mal_skipped'}
    for old, now in zip(before, after, strict=True):
        assert {k: v for k, v in now.items() if k not in new - set(old)} == old
    assert after[5]['mal_skipped'].startswith('bbox has a negative width')
    assert after[9] == before[9]


def test_counts_add_up(make_job):
    job = make_job()
    steps = []
    summary = job.run(on_progress=lambda done, total: steps.append((done, total)))
    assert steps[0] == (0, len(job.plan.places)) and steps[-1][0] == steps[-1][1]
    assert summary.annotations == summary.masks + len(summary.skips) + summary.passed
    assert sum(summary.qualities) == summary.masks > 50
    assert summary.passed == 1
    json.dumps(summary.as_dict())


# -- portions -------------------------------------------------------------------------------------


@given(
    counts=st.lists(st.integers(0, 9), max_size=12),
    num_boxes=st.integers(1, 7),
)
def test_portions_cover_the_boxes_and_end_with_images(counts, num_boxes):
    images = [{'id': n, 'file_name': 'x', 'width': 9, 'height': 9} for n in range(len(counts))]
    annotations = [
        {'id': (n, k), 'image_id': n, 'bbox': [0, 0, 1, 1], 'category_id': 1}
        for n, count in enumerate(counts)
        for k in range(count)
    ]
    plan = make_plan({'images': images}, annotations)
    portions = plan.portions(num_boxes)
    flat = [place for start, stop in portions for place in range(start, stop)]
    assert flat == list(range(sum(counts)))
    for start, stop in portions:
        assert 0 < stop - start <= num_boxes
        ends_inside = stop < len(flat) and plan.image_indices[stop] == plan.image_indices[stop - 1]
        if ends_inside:  # only an image that is too large for a portion is cut
            assert counts[plan.image_indices[stop]] > num_boxes


def test_chosen_categories_and_missing_masks_alone_are_labelled(folder):
    data = read_coco(folder / 'ann.json')
    some = make_plan(data, data['annotations'], selection=Selection(categories=frozenset([1])))
    assert {data['annotations'][place]['category_id'] for place in some.places} == {1}
    data['annotations'][0]['segmentation'] = [[1, 1, 9, 1, 9, 9]]
    missing = make_plan(data, data['annotations'], selection=Selection(only_missing=True))
    assert 0 not in missing.places and missing.passed == 2


# -- kills ----------------------------------------------------------------------------------------


def start(job: LabelingJob, resume: bool = True):
    process = FORK.Process(target=job.run, kwargs={'resume': resume})
    process.start()
    return process


def part_bytes(job: LabelingJob) -> int:
    return sum(path.stat().st_size for path in job.folder.glob('*.part'))


def test_twenty_kills_leave_the_same_file_byte_for_byte(make_job, unbroken, whole_part):
    job = make_job()
    random = np.random.default_rng(1)
    whole = sum(path.stat().st_size for path in whole_part[1].glob('*.part'))
    for kill in range(KILLS):
        # in the first half, lest the last runs end before a busy machine gets round to the kill
        wanted = whole * (kill + random.random()) / (2 * KILLS)
        process = start(job)
        # now and then before the first byte, otherwise wherever the writer is by then
        while process.is_alive() and part_bytes(job) < wanted:
            time.sleep(0.0002)
        process.kill()
        process.join()
        assert process.exitcode == -signal.SIGKILL
        assert not job.out.exists()
    job.run(resume=True)
    assert job.out.read_bytes() == unbroken
    assert not job.folder.exists()


@pytest.fixture(scope='module')
def whole_part(folder, engine, tmp_path_factory):
    """A finished run's job, part file, and output file."""
    out = tmp_path_factory.mktemp('whole') / 'out.json'
    job = LabelingJob(folder / 'ann.json', out, folder, engine, {'checkpoint': 'a'})
    finish, job._finish = job._finish, lambda: None
    job.run()
    job._finish = finish
    backup = out.with_name('backup')
    shutil.copytree(job.folder, backup)
    return job, backup


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(share=st.floats(0, 1), damage=st.booleans())
def test_a_part_file_torn_at_any_byte_is_mended(whole_part, unbroken, share, damage):
    job, backup = whole_part
    shutil.rmtree(job.folder, ignore_errors=True)
    shutil.copytree(backup, job.folder)
    (part,) = job.folder.glob('*.part')
    content = part.read_bytes()
    cut = int(share * len(content))
    torn = content[:cut]
    if damage and cut:  # a block of the disk that came back as zeros
        torn = torn[: cut // 2] + bytes(min(8, cut - cut // 2)) + torn[cut // 2 + 8 :]
    part.write_bytes(torn)
    job.run(resume=True)
    assert json.loads(job.out.read_bytes()) == json.loads(unbroken)
    assert job.out.read_bytes() == unbroken


def test_a_writer_goes_on_behind_the_last_whole_portion(tmp_path):
    path = tmp_path / 'a.part'
    images = {2: ImageStamp(5, 6, 7)}
    writer = PartWriter(path)
    writer.write(0, [(3, {'area': 1}), (1, {'area': 2})], images)
    writer.write(4, [])
    writer.close()
    whole = path.stat().st_size
    with path.open('ab') as file:
        file.write(b'00000000 [1,{"area":9}]\n12345')
    assert [portion.number for portion in read_portions(path)] == [0, 4]
    writer = PartWriter(path)
    assert path.stat().st_size == whole
    writer.write(1, [(0, {'area': 3})])
    writer.close()
    image = {'id': 1, 'file_name': 'x', 'width': 9, 'height': 9}
    box = {'image_id': 1, 'bbox': [0, 0, 1, 1]}
    plan = make_plan({'images': [image]}, [{**box, 'id': n} for n in range(4)])
    plan = replace(plan, places=np.array([1, 3, 0]))  # the annotation at place 2 is not planned
    index = PartIndex(tmp_path, plan, [(0, 2), (2, 3)])
    assert index.done == {0, 1} and index.images == images and not index.missing()
    assert list(index.fields()) == [{'area': 3}, {'area': 2}, None, {'area': 1}]


# -- what is not there, or twice ------------------------------------------------------------------


def put_back(whole_part) -> tuple[LabelingJob, Path]:
    """The job with everything labelled but not written; and its part file."""
    job, backup = whole_part
    shutil.rmtree(job.folder, ignore_errors=True)
    shutil.copytree(backup, job.folder)
    (part,) = job.folder.glob('*.part')
    job.out.write_text('the old file')
    return job, part


def portions_of(part: Path) -> list[bytes]:
    """The bytes of each portion in a part file."""
    content, stops = part.read_bytes(), [portion.stop for portion in read_portions(part)]
    return [content[a:b] for a, b in zip([0, *stops], stops, strict=False)]


def line(value: object) -> bytes:
    text = json.dumps(value).encode()
    return b'%08x %s\n' % (zlib.crc32(text), text)


@pytest.mark.parametrize('what', ['no file', 'empty file', 'a portion less', 'a folder less'])
def test_nothing_is_written_unless_every_box_has_its_record(whole_part, what):
    job, part = put_back(whole_part)
    portions = portions_of(part)

    def take_away() -> JobError:
        # what somebody may do while the last batch is labelled
        if what == 'no file':
            part.unlink()
        elif what == 'empty file':
            part.write_bytes(b'')
        elif what == 'a portion less':
            part.write_bytes(b''.join(portions[:2] + portions[3:]))
        else:
            shutil.rmtree(job.folder)
        with pytest.raises(JobError, match='are missing') as caught:
            job._finish()
        return caught.value

    message = str(take_away())
    assert job.out.read_text() == 'the old file'
    assert 'call the same with --resume to label the rest' in message
    if what == 'no file':
        assert f'there is no {part}' in message


@pytest.mark.parametrize(
    'bad',
    [
        {'portion': 3, 'records': 0},
        {'portion': -1, 'records': 0},
        {'portion': 10**6, 'records': 0},
        {'portion': 'x', 'records': 0},
    ],
)
def test_a_portion_with_other_records_than_planned_is_labelled_anew(whole_part, unbroken, bad):
    job, part = put_back(whole_part)
    portions = portions_of(part)
    part.write_bytes(b''.join([*portions[:3], line({**bad, 'images': []}), *portions[4:]]))
    assert 3 not in job._index().done
    job.run(resume=True)
    assert job.out.read_bytes() == unbroken


def test_a_portion_that_is_there_twice_counts_once_if_it_is_the_same(whole_part, unbroken):
    job, part = put_back(whole_part)
    portions = portions_of(part)
    part.with_name('rank0007.part').write_bytes(b''.join(portions[4:6]))
    job.run(resume=True)
    assert job.out.read_bytes() == unbroken

    job, part = put_back(whole_part)
    first = next(read_portions(part))
    others = [line([place, {'area': 1, 'segmentation': [[1]]}]) for place, _, _ in first.records]
    closing = line({'portion': first.number, 'records': len(others), 'images': []})
    part.with_name('rank0007.part').write_bytes(b''.join([*others, closing]))
    with pytest.raises(JobError, match='hold different results of portion 0'):
        job.run(resume=True)
    assert job.out.read_text() == 'the old file'


# -- two at once ----------------------------------------------------------------------------------


def test_a_second_process_is_refused_and_told_who_works(make_job, unbroken):
    job = make_job()
    process = start(job)
    while not (job.folder / 'job.json').is_file():
        time.sleep(0.001)
    os.kill(process.pid, signal.SIGSTOP)
    before = {path: path.stat().st_ino for path in job.folder.iterdir()}
    with pytest.raises(
        JobError, match=rf'is in use: process {process.pid} on \S+, since 20\d\d-.*; wait for it'
    ):
        make_job().run(resume=True)
    assert all(path.stat().st_ino == inode for path, inode in before.items())
    os.kill(process.pid, signal.SIGCONT)
    process.join()
    assert process.exitcode == 0 and job.out.read_bytes() == unbroken
    assert not job.folder.exists()


def race(job: LabelingJob, delay: float) -> None:
    time.sleep(delay)
    try:
        job.run(resume=True)
    except JobError as error:
        assert 'is in use' in str(error)
        os._exit(7)


def test_of_twenty_races_none_loses_a_mask(make_job, unbroken, whole_part, monkeypatch):
    """Two start at about the same moment, on nothing, on half, or on all the work done."""
    random = np.random.default_rng(3)
    part = next(whole_part[1].glob('*.part')).read_bytes()
    outcomes = []
    for number in range(20):
        monkeypatch.setattr(job_lock, 'PATIENCE_SECONDS', 0 if number < 14 else 1)
        job = make_job()
        job.out.unlink(missing_ok=True)
        if number % 2:
            shutil.copytree(whole_part[1], job.folder)
            share = random.choice([0.5, 0.9, 1])
            (job.folder / 'rank0000.part').write_bytes(part[: int(share * len(part))])
        delays = [0, random.uniform(0, 0.02) if number % 3 else 0]
        racers = [FORK.Process(target=race, args=(make_job(), delay)) for delay in delays]
        for process in racers:
            process.start()
        for process in racers:
            process.join()
        outcomes.append(sorted(process.exitcode for process in racers))
        assert outcomes[-1] in ([0, 0], [0, 7])  # one after the other, or one alone
        assert job.out.read_bytes() == unbroken
        assert not job.folder.exists()
    assert [0, 7] in outcomes


def test_who_does_not_hold_the_lock_leaves_the_folder_of_a_run_that_starts(make_job, unbroken):
    ended, refused = make_job(), make_job()
    ended.run()
    starting = JobLock(ended.folder / job_folder.LOCK)
    starting.take()  # it has not written anything else yet
    ended._folder.close()
    assert starting.path.is_file()
    with pytest.raises(JobError, match='is in use'):
        refused.run()
    assert starting.path.is_file()
    starting.release()
    make_job().run()
    assert ended.out.read_bytes() == unbroken


def test_no_run_starts_while_a_rank_of_an_earlier_one_lives(make_job, unbroken):
    job = make_job()
    lock = JobLock(job.folder / 'lock')
    lock.take()
    rank = JobLock(job.folder / 'lock')
    rank.join()
    lock.release()  # the first rank is gone
    with pytest.raises(JobError, match='is in use'):
        job.run()
    rank.release()
    job.run()
    assert job.out.read_bytes() == unbroken


def test_without_locks_on_the_disk_a_file_names_the_owner(tmp_path, monkeypatch):
    def none(file: int, how: int) -> None:
        raise OSError(errno.ENOLCK, 'No locks available')

    monkeypatch.setattr(fcntl, 'flock', none)
    first, second = JobLock(tmp_path / 'x' / 'lock'), JobLock(tmp_path / 'x' / 'lock')
    first.take()
    with pytest.raises(InUseError, match=f'process {os.getpid()} on'):
        second.take(patience=0.1)
    first.release()
    second.take()
    # a process of this machine that is gone holds nothing, one of another may
    gone = FORK.Process(target=lambda: None)
    gone.start()
    gone.join()
    owner = {'host': socket.gethostname(), 'pid': gone.pid, 'since': 'then'}
    second.path.write_text(json.dumps(owner))
    JobLock(second.path).take(patience=0)
    second.path.write_text(json.dumps({**owner, 'host': 'elsewhere'}))
    with pytest.raises(InUseError, match=r'on elsewhere.* if it is gone for certain, delete'):
        JobLock(second.path).take(patience=0)


# -- refusals -------------------------------------------------------------------------------------


def test_an_interrupted_run_is_not_overwritten_unasked(whole_part):
    job, backup = whole_part
    shutil.rmtree(job.folder, ignore_errors=True)
    shutil.copytree(backup, job.folder)
    with pytest.raises(JobError, match=r'holds an interrupted run; add --resume to go on'):
        job.run()


@pytest.mark.parametrize('change', ['checkpoint', 'annotations'])
def test_another_job_is_not_resumed(whole_part, folder, engine, tmp_path, change):
    job, backup = whole_part
    shutil.rmtree(job.folder, ignore_errors=True)
    shutil.copytree(backup, job.folder)
    ann, identity = folder / 'ann.json', {'checkpoint': 'a'}
    if change == 'checkpoint':
        identity = {'checkpoint': 'b'}
        difference = 'checkpoint was a, now b'
    else:
        ann = tmp_path / 'ann.json'
        ann.write_text((folder / 'ann.json').read_text() + ' ')
        difference = r'annotation file was ann.json \(sha256 .*, now ann.json \(sha256'
    other = LabelingJob(ann, job.out, folder, engine, identity)
    with pytest.raises(JobError, match=f'belongs to another run: {difference}'):
        other.run(resume=True)


@pytest.mark.parametrize('text', ['', '[]', 'null', '{"boxes"'])
def test_results_beside_a_damaged_identity_are_neither_used_nor_thrown_away(whole_part, text):
    job, part = put_back(whole_part)
    (job.folder / 'job.json').write_text(text)
    content = part.read_bytes()
    with pytest.raises(JobError, match=r'job\.json is damaged .*Move the folder away'):
        job.run(resume=True)
    (job.folder / 'job.json').unlink()
    with pytest.raises(JobError, match=r'it has no job\.json, but holds rank0000\.part; nothing'):
        job.run(resume=True)
    assert part.read_bytes() == content


def test_a_users_own_folder_of_that_name_stays(make_job, unbroken, tmp_path):
    job = make_job()
    job.folder.mkdir()
    (job.folder / 'thesis.tex').write_text('years of work')
    with pytest.raises(JobError, match=r'is no folder of a labeling run: .* thesis\.tex'):
        job.run(resume=True)
    assert [each.name for each in job.folder.iterdir()] == ['thesis.tex']
    # also when it gets there in the middle
    (job.folder / 'thesis.tex').unlink()
    finish, job._finish = job._finish, lambda: None
    job.run()
    (job.folder / 'thesis.tex').write_text('years of work')
    job._finish = finish
    job.run(resume=True)
    assert job.out.read_bytes() == unbroken
    assert [each.name for each in job.folder.iterdir()] == ['thesis.tex']


def test_a_start_that_was_killed_leaves_nothing_in_the_way(make_job, unbroken):
    job = make_job()
    job.folder.mkdir()
    (job.folder / 'lock').write_text('')
    (job.folder / '.job.json.0123456789ab.tmp').write_text('{"bo')
    job.run()
    assert job.out.read_bytes() == unbroken
    assert not job.folder.exists()


def test_an_annotation_file_that_changes_meanwhile_is_noticed(folder, engine, tmp_path):
    ann = tmp_path / 'ann.json'
    ann.write_text((folder / 'ann.json').read_text())
    job = LabelingJob(ann, tmp_path / 'out.json', folder, engine, {})
    ann.write_text(ann.read_text().replace('2026', '2027'))
    with pytest.raises(JobError, match=r'ann\.json has changed during the run'):
        job.run()
    assert not job.out.exists()


# -- other pixels ---------------------------------------------------------------------------------


@pytest.fixture
def own_images(folder, engine, tmp_path):
    """A half done job on images that may be changed; `job(root)` makes it."""
    root = tmp_path / 'images'
    shutil.copytree(folder, root)

    def job(root: Path = root) -> LabelingJob:
        return LabelingJob(folder / 'ann.json', tmp_path / 'out.json', root, engine, {})

    first = job()
    _finish, first._finish = first._finish, lambda: None
    first.run()
    part = first.folder / 'rank0000.part'
    part.write_bytes(part.read_bytes()[: part.stat().st_size // 2])
    return job, root, next(iter(read_portions(part))).images


def test_images_of_another_root_are_not_mixed_in(own_images, tmp_path):
    job, _root, _images = own_images
    other = tmp_path / 'other'
    other.mkdir()
    for n in range(IMAGES):
        Image.fromarray(blotches(45, 60, 100 + n)).save(other / f'{n}.png')
    with pytest.raises(JobError, match=r'masks of other images: .*is not what it was, nor are'):
        job(other).run(resume=True)
    (tmp_path / 'empty').mkdir()
    with pytest.raises(JobError, match=r'none of the \d+ images is under --img-root'):
        job(tmp_path / 'empty').run(resume=True)
    assert not (tmp_path / 'out.json').exists()


def test_an_image_that_was_changed_in_place_is_noticed(own_images):
    job, root, images = own_images
    number, _stamp = next(iter(images.items()))
    content = bytearray((root / f'{number}.png').read_bytes())
    content[-20] ^= 1  # of the same size
    (root / f'{number}.png').write_bytes(content)
    with pytest.raises(JobError, match=rf'{number}\.png is not what it was\b'):
        job().run(resume=True)


def test_copies_of_the_same_images_go_on(own_images, unbroken, tmp_path):
    job, root, _ = own_images
    for path in root.glob('*.png'):
        os.utime(path, (1e9, 1e9))
    root.rename(tmp_path / 'moved')
    job(tmp_path / 'moved').run(resume=True)
    found = json.loads((tmp_path / 'out.json').read_bytes())
    masks = [each.get('mal_quality') for each in json.loads(unbroken)['annotations']]
    assert [each.get('mal_quality') for each in found['annotations']] == masks


# -- disks ----------------------------------------------------------------------------------------


def run_in_child(job: LabelingJob, prepare) -> str:
    """What `job.run` raises in a child process that `prepare` has restricted."""
    receive, send = FORK.Pipe(duplex=False)

    def child() -> None:
        prepare()
        try:
            job.run(resume=True)
            send.send('')
        except Exception as error:
            send.send(f'{type(error).__name__}: {error}')

    process = FORK.Process(target=child)
    process.start()
    message = receive.recv()
    process.join()
    return message


def test_a_full_disk_is_named_and_what_was_done_stays(make_job, unbroken):
    job = make_job()

    def little_room() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (5000, resource.RLIM_INFINITY))

    message = run_in_child(job, little_room)
    assert message.startswith('OSError: ') and str(job.folder / 'rank0000.part') in message
    assert not job.out.exists()
    assert 0 < job.done_boxes() < len(job.plan.places)
    job.run(resume=True)
    assert job.out.read_bytes() == unbroken


@pytest.mark.skipif(not Path('/sys/kernel').is_dir(), reason='has no /sys')
def test_a_folder_that_cannot_be_written_is_named(folder, engine):
    # read-only for everybody, the superuser too
    job = LabelingJob(folder / 'ann.json', '/sys/kernel/out.json', folder, engine, {})
    with pytest.raises(JobError, match=r"/sys/kernel/out\.json\.parts'"):
        job.run()


# -- ranks ----------------------------------------------------------------------------------------


def run_rank(job: LabelingJob, rank: int, world: int, port: int) -> None:
    torch.distributed.init_process_group(
        'gloo', init_method=f'tcp://127.0.0.1:{port}', rank=rank, world_size=world
    )
    job.run(resume=True)
    torch.distributed.destroy_process_group()


def run_ranks(job: LabelingJob, world: int) -> None:
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        port = free.getsockname()[1]
    ranks = [FORK.Process(target=run_rank, args=(job, rank, world, port)) for rank in range(world)]
    for process in ranks:
        process.start()
    for process in ranks:
        process.join()
    assert [process.exitcode for process in ranks] == [0] * world


@pytest.mark.parametrize('world', [2, 3])
def test_several_ranks_give_the_file_of_one(make_job, unbroken, world):
    job = make_job()
    run_ranks(job, world)
    assert job.out.read_bytes() == unbroken


def test_fewer_ranks_go_on_with_the_parts_of_more(make_job, unbroken):
    job = make_job()
    finish, job._finish = job._finish, lambda: None
    run_ranks(job, 3)
    assert len(list(job.folder.glob('*.part'))) == 3
    for rank in (0, 2):
        part = Path(job.folder, f'rank{rank:04d}.part')
        part.write_bytes(part.read_bytes()[: part.stat().st_size // 2])
    job._finish = finish
    job.run(resume=True)
    assert job.out.read_bytes() == unbroken


# -- a detector's boxes ---------------------------------------------------------------------------


def test_detections_are_labelled_in_order_and_keep_their_scores(
    make_job, folder, engine, tmp_path
):
    detections = [
        {'image_id': 3, 'category_id': 1, 'bbox': [5, 5, 30, 30], 'score': 0.9},
        {'image_id': 7, 'category_id': 1, 'bbox': [5, 5, 30, 30], 'score': 0.8},  # no image
        {'image_id': 1, 'category_id': 0, 'bbox': [2, 8, 40, 20], 'score': 0.1},
    ]
    (tmp_path / 'boxes.json').write_text(json.dumps(detections))
    summary = make_job(detections=tmp_path / 'boxes.json').run()
    assert (summary.masks, len(summary.skips)) == (2, 1)
    found = json.loads((tmp_path / 'out.json').read_text())
    assert [a['id'] for a in found['annotations']] == [1, 2, 3]
    for annotation, detection in zip(found['annotations'], detections, strict=True):
        assert {key: annotation[key] for key in detection} == detection
    expected = read_coco(folder / 'ann.json')
    expected['annotations'] = [{'id': n, **d} for n, d in enumerate(detections, 1)]
    label_coco(expected, folder, engine)
    assert found['annotations'] == expected['annotations']
