"""LabelingJob: a whole annotation file, over a night, on machines that may be taken away."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.dist import all_gather_object, get_rank, get_world_size

from ..compat.cpu_ranks import patient_group
from ..formats import mal_fields
from ..formats.coco import CocoStream, index_images, write_coco
from ..formats.detections import DetectionStream
from ..formats.image_hints import name_hint
from ..formats.paths import resolve_under
from ..formats.plain_file import sha256
from ..formats.review_marks import mask_digest
from ..formats.videos import VideoStream, open_annotations
from ..models.encoders import log_cache_counts
from .coco_labeling import cut_plan
from .engine import LabelingEngine
from .image_io import find_changed, is_there
from .job_folder import JobError, JobFolder
from .part_files import PartIndex, PartWriter
from .plan import Plan, Selection, make_plan
from .portion_labeler import Output, PortionLabeler, apply_fields
from .summary import Summary

# network disks show what another machine has written after some seconds
_PATIENCE_SECONDS = 30


class LabelingJob:
    """Label an annotation file, so that a kill at any moment loses little and never the file.

    Results go portion by portion into `OUT.parts/`; the output file is made of them at the end,
    appears whole or not at all, and is the same byte for byte however often the job was
    interrupted and however many ranks worked on it.

    Args:
        ann: the COCO-style file with boxes, or a YouTube-VIS file with those of its tracks.
        out: the file to write.
        img_root: folder that file names are relative to.
        engine: draws the masks.
        selection: which annotations get a new mask.
        identity: what the result depends on beside the annotation file (checkpoint, config,
            options), to refuse a resume that would mix two results; also the head of the output
            file. Values that JSON can hold.
        num_threads: threads that read and cut images.
        output: how masks are written.
        detections: a detector's results on the images (COCO result file), whose boxes are labelled
            instead of the annotations and keep their scores.
    """

    def __init__(
        self,
        ann: str | Path,
        out: str | Path,
        img_root: str | Path,
        engine: LabelingEngine,
        identity: Mapping[str, Any],
        selection: Selection | None = None,
        num_threads: int = 2,
        output: Output | None = None,
        detections: str | Path | None = None,
    ) -> None:
        self.ann = Path(ann)
        self.out = Path(out)
        self.folder = self.out.with_name(f'{self.out.name}.parts')
        self._folder = JobFolder(self.folder)
        self.img_root = img_root
        self.engine = engine
        self.identity = dict(identity)
        self.num_threads = num_threads
        self.output = output
        # the text of the file is gone again after this; the plan stays
        self.detections = detections
        self.redo = selection.redo if selection else None
        stream = self._open()
        self._files = self._digests()
        self.plan: Plan = make_plan(stream.value, stream, self.ann, selection)
        self.portions = cut_plan(self.plan, engine)

    def run(
        self, resume: bool = False, on_progress: Callable[[int, int], None] | None = None
    ) -> Summary | None:
        """Do it, or go on with it.

        Args:
            resume: go on where an interrupted run stopped; without one, start.
            on_progress: called with (boxes of this rank done, boxes of this rank).

        Returns:
            The summary on rank 0, None on the others.

        Raises:
            JobError: another process works on the same file; there is an interrupted run and
                `resume` is False; it was another job, or its images have changed since; results
                are missing at the end. What was done stays.
            OSError: a file cannot be written; what was done stays.
        """
        self._group = patient_group()
        done = self._prepare(resume)
        problem: Exception | None = None
        try:
            try:
                self._label_rest(done, on_progress)
            except Exception as error:
                if get_world_size() == 1:
                    raise
                # the others may as well label what is theirs
                print(f'rank {get_rank()} stops: {error}', file=sys.stderr)
                problem = error
            said = f'rank {get_rank()}: {problem}' if problem else None
            problems = list(filter(None, self._from_all(said)))
            if problem:
                raise problem
            if problems:
                raise JobError(
                    f'{"; ".join(problems)}. What was done is kept: call the same with --resume '
                    'to go on'
                )
            return self._finish() if get_rank() == 0 else None
        finally:
            self._folder.close()

    def _from_all(self, value: Any) -> list[Any]:
        """The value of each rank, on each rank.

        Raises:
            JobError: one has ended.
        """
        try:
            return all_gather_object(value, self._group)
        except RuntimeError as error:
            raise JobError(
                f'rank {get_rank()} has lost the others: one has ended before its work was done. '
                'What was done is kept: call the same with --resume to go on'
            ) from error

    def _label_rest(self, done: set[int], on_progress: Callable[[int, int], None] | None) -> None:
        todo = [number for number in range(len(self.portions)) if number not in done]
        mine = _share(todo, [stop - start for start, stop in self.portions])
        total = sum(self.portions[number][1] - self.portions[number][0] for number in mine)
        finished = 0
        if on_progress:
            on_progress(0, total)
        drawn = 0

        def on_drawn(count: int) -> None:  # inside a portion, which may take minutes on a CPU
            nonlocal drawn
            drawn += count
            if on_progress:
                on_progress(min(finished + drawn, total), total)

        labeler = PortionLabeler(
            self.engine, self.plan, self.img_root, self.num_threads, self.output, on_drawn
        )
        writer = PartWriter(self.folder / _part_name(get_rank()))
        try:
            labelled = labeler.run(self.portions[number] for number in mine)
            for number, (changes, images) in zip(mine, labelled, strict=True):
                writer.write(number, changes, images)
                finished += len(changes)
                drawn = 0
                if on_progress:
                    on_progress(finished, total)
        finally:
            writer.close()
        log_cache_counts(self.engine.labeler)

    def _open(self) -> CocoStream | VideoStream | DetectionStream:
        if self.detections is None:
            return open_annotations(self.ann)
        return DetectionStream(self.ann, self.detections)

    def _index(self) -> PartIndex:
        names = [_part_name(rank) for rank in range(get_world_size())]
        return PartIndex(self.folder, self.plan, self.portions, names)

    def done_boxes(self) -> int:
        """Boxes whose results are on the disk."""
        done = self._index().done
        return sum(self.portions[n][1] - self.portions[n][0] for n in done)

    def _prepare(self, resume: bool) -> set[int]:
        """Open the folder of the parts; returns what is done, the same on all ranks.

        Only the first rank looks: two that list a network disk may see two states of it, and
        would share out the work in two ways.
        """
        said: list[Any] = [None, None, None]
        if get_rank() == 0:
            said[1] = identity = self._identity()
            try:
                self._refuse_empty_root()
                self._folder.open(identity, resume)
                index = self._index()
                self._check_images(index)
                said[2] = index.done
            except (JobError, OSError) as error:
                self._folder.close()
                said[0] = str(error)
        problem, identity, done = self._from_all(said)[0]
        if problem is None and get_rank() > 0:
            try:
                self._folder.join()
                if identity != self._identity():
                    raise JobError(
                        f'rank {get_rank()} reads other files or options than the first one: '
                        f'{self._identity()} instead of {identity}'
                    )
            except (JobError, OSError) as error:
                problem = str(error)
        # all or none: a rank that gives up alone would leave the others waiting
        problem = next(filter(None, self._from_all(problem)), None)
        if problem is not None:
            self._folder.close()
            raise JobError(problem)
        return done

    def _digests(self) -> dict[str, str]:
        files = {'annotation file': self.ann, 'detections': self.detections}
        return {
            name: f'{Path(path).name} (sha256 {sha256(path)[:16]})'
            for name, path in files.items()
            if path is not None
        }

    def _identity(self) -> dict[str, str]:
        return {
            **self._files,
            'boxes': str(len(self.plan.places)),
            **{key: str(value) for key, value in self.identity.items()},
        }

    def _refuse_empty_root(self) -> None:
        indices = np.unique(self.plan.image_indices).tolist()
        names = [self.plan.file_names[index] for index in indices]
        if names and not any(is_there(self.img_root, name) for name in names):
            hint = ''
            with suppress(ValueError):
                hint = name_hint(resolve_under(self.img_root, names[0]))
            raise JobError(
                f'none of the {len(names)} images is under --img-root {self.img_root} '
                f'({names[0]!r} for one{hint}); give the folder that the file names are relative '
                'to'
            )

    def _check_images(self, index: PartIndex) -> None:
        changed = find_changed(self.img_root, self.plan.file_names, index.images)
        if changed:
            raise JobError(
                f'{self.folder} holds masks of other images: {changed[0]} is not what it was'
                f'{f", nor are {len(changed) - 1} more" if len(changed) > 1 else ""}; masks of '
                'both would be mixed. Give the --img-root of the interrupted run, or delete the '
                'folder to start anew'
            )

    def _complete_index(self) -> PartIndex:
        """The index, once every planned annotation has exactly one record.

        Raises:
            JobError: some have none, or two that differ.
        """
        deadline = time.monotonic() + (_PATIENCE_SECONDS if get_world_size() > 1 else 0)
        while True:
            index = self._index()
            missing = index.missing()
            if not missing or time.monotonic() > deadline:
                break
            time.sleep(1)
        if index.conflicts:
            raise JobError(
                f'{self.out} is not written: {"; ".join(index.conflicts[:3])}. Two processes have '
                f'worked on it; delete one of these files and call the same with --resume'
            )
        if missing:
            parts = ', '.join(str(path) for path in index.paths if not path.is_file())
            raise JobError(
                f'{self.out} is not written: the results of {len(missing)} of '
                f'{len(self.plan.places)} boxes are missing (annotations number '
                f'{", ".join(map(str, missing[:5]))}{", ..." if len(missing) > 5 else ""} of the '
                f'file, from 0){f"; there is no {parts}" if parts else ""}. Something has '
                f'removed or changed files in {self.folder}, or not all machines see it; what is '
                'there is kept: call the same with --resume to label the rest'
            )
        return index

    def _finish(self) -> Summary:
        """Make the output file of the parts."""
        index = self._complete_index()
        stream = self._open()
        if stream.count != self.plan.count or self._digests() != self._files:
            raise JobError(
                f'{self.ann}{" or the detections" if self.detections else ""} has changed during '
                f'the run, so that the masks in {self.folder} do not fit it; delete that folder '
                'and start anew'
            )
        summary = Summary(
            annotations=self.plan.count, passed=self.plan.passed, warnings=self.plan.survey()
        )
        images = index_images(stream.value, self.ann)
        head = mal_fields.new_head(self.identity)
        if self.redo:  # most masks are still those of the run before
            earlier = mal_fields.head_of(stream.value)
            head['before'] = {k: v for k, v in earlier.items() if k not in ('skipped', 'before')}
        labelled = self._labelled(stream, index, images, summary, head)
        data = mal_fields.without_head(stream.whole(labelled))
        # last, since it is complete when the annotations have gone by
        data[mal_fields.HEAD] = head
        write_coco(data, self.out)
        self._folder.remove()
        return summary

    def _labelled(
        self,
        stream: CocoStream | VideoStream | DetectionStream,
        index: PartIndex,
        images: Mapping,
        summary: Summary,
        head: dict[str, Any],
    ) -> Iterator[dict[str, Any]]:
        bad_boxes = {skip.annotation_index: skip.reason for skip in self.plan.skips}
        for place, (annotation, fields) in enumerate(zip(stream, index.fields(), strict=True)):
            if place in bad_boxes:
                fields = mal_fields.skipped(bad_boxes[place])
            if fields is not None:
                before = mask_digest(annotation.get('segmentation')) if self.redo else None
                apply_fields(annotation, fields, images)
                summary.add(fields, place, annotation)
                summary.same += before == mask_digest(annotation.get('segmentation'))
            yield annotation
        head['skipped'] = summary.as_dict()['skipped']


def _part_name(rank: int) -> str:
    return f'rank{rank:04d}.part'


def _share(todo: list[int], sizes: list[int]) -> list[int]:
    """This rank's portions: a stretch of the file with its share of the boxes."""
    boxes = np.cumsum([0] + [sizes[number] for number in todo])
    middles = (boxes[:-1] + boxes[1:]) / 2
    owner = middles * get_world_size() // max(boxes[-1], 1)
    return [number for number, rank in zip(todo, owner, strict=True) if rank == get_rank()]
