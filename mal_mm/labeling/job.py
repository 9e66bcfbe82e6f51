"""LabelingJob: a whole annotation file, over a night, on machines that may be taken away."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.dist import barrier, broadcast_object_list, get_rank, get_world_size

from ..formats.atomic import atomic_write
from ..formats.coco import CocoStream, index_images, write_coco
from ..formats.detections import DetectionStream
from ..models.encoders import log_cache_counts
from .coco_labeling import portion_boxes
from .engine import LabelingEngine
from .part_files import PartIndex, PartWriter
from .plan import Plan, Selection, make_plan
from .portion_labeler import Output, PortionLabeler, apply_fields
from .summary import Summary


class JobError(RuntimeError):
    """The job cannot start as asked; says why and the cure."""


class LabelingJob:
    """Label an annotation file, so that a kill at any moment loses little and never the file.

    Results go portion by portion into `OUT.parts/`; the output file is made of them at the end,
    appears whole or not at all, and is the same byte for byte however often the job was
    interrupted and however many ranks worked on it.

    Args:
        ann: the COCO-style file with boxes.
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
        self.img_root = img_root
        self.engine = engine
        self.identity = dict(identity)
        self.num_threads = num_threads
        self.output = output
        # the text of the file is gone again after this; the plan stays
        self.detections = detections
        stream = self._open()
        self.plan: Plan = make_plan(stream.value, stream, self.ann, selection)
        self.portions = self.plan.portions(portion_boxes(engine))

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
            JobError: there is an interrupted run and `resume` is False, or it was another job.
            OSError: a file cannot be written; what was done stays.
        """
        self._prepare(resume)
        done = PartIndex(self.folder, self.plan.count).done
        barrier()  # nobody writes before everybody has read
        todo = [number for number in range(len(self.portions)) if number not in done]
        mine = _share(todo, [stop - start for start, stop in self.portions])
        total = sum(self.portions[number][1] - self.portions[number][0] for number in mine)
        finished = 0
        if on_progress:
            on_progress(0, total)
        labeler = PortionLabeler(
            self.engine, self.plan, self.img_root, self.num_threads, self.output
        )
        writer = PartWriter(self.folder / f'rank{get_rank():04d}.part')
        try:
            changes = labeler.run(self.portions[number] for number in mine)
            for number, portion in zip(mine, changes, strict=True):
                writer.write(number, portion)
                finished += len(portion)
                if on_progress:
                    on_progress(finished, total)
        finally:
            writer.close()
        log_cache_counts(self.engine.labeler)
        barrier()
        return self._finish() if get_rank() == 0 else None

    def _open(self) -> CocoStream | DetectionStream:
        if self.detections is None:
            return CocoStream(self.ann)
        return DetectionStream(self.ann, self.detections)

    def done_boxes(self) -> int:
        """Boxes whose results are on the disk."""
        done = PartIndex(self.folder, self.plan.count).done
        return sum(self.portions[n][1] - self.portions[n][0] for n in done)

    def _prepare(self, resume: bool) -> None:
        """Make the folder of the parts, or see that the one there belongs to this job."""
        problem: list[str | None] = [None]
        if get_rank() == 0:
            try:
                self._check_folder(resume)
            except (JobError, OSError) as error:
                problem = [str(error)]
        broadcast_object_list(problem)
        if problem[0]:
            raise JobError(problem[0])

    def _check_folder(self, resume: bool) -> None:
        files = {'annotation file': self.ann, 'detections': self.detections}
        identity = {
            **{
                name: f'{Path(path).name} (sha256 {sha256(path)[:16]})'
                for name, path in files.items()
                if path is not None
            },
            'boxes': str(len(self.plan.places)),
            **{key: str(value) for key, value in self.identity.items()},
        }
        file = self.folder / 'job.json'
        if not file.is_file():
            if self.folder.exists():
                shutil.rmtree(self.folder)  # the start was interrupted: nothing is in it
            self.folder.mkdir()
            with atomic_write(file) as stream:
                json.dump(identity, stream, indent=2)
            return
        if not resume:
            raise JobError(
                f'{self.folder} holds an interrupted run; add --resume to go on with it, or '
                'delete the folder to start anew'
            )
        before = json.loads(file.read_text())
        differences = [
            f'{key} was {before.get(key)}, now {identity.get(key)}'
            for key in {**before, **identity}
            if before.get(key) != identity.get(key)
        ]
        if differences:
            raise JobError(
                f'{self.folder} belongs to another run: {"; ".join(differences)}; masks of both '
                'would be mixed. Call it as before, or delete the folder to start anew'
            )

    def _finish(self) -> Summary:
        """Make the output file of the parts."""
        index = PartIndex(self.folder, self.plan.count)
        stream = self._open()
        if stream.count != self.plan.count:
            raise JobError(f'{self.ann} has changed during the run; delete {self.folder}')
        summary = Summary(annotations=self.plan.count, passed=self.plan.passed)
        images = index_images(stream.value, self.ann)
        data = {key: value for key, value in stream.value.items() if key != 'mal_mm'}
        head = dict(self.identity)
        data['annotations'] = self._labelled(stream, index, images, summary, head)
        data['mal_mm'] = head  # last, since it is complete when the annotations have gone by
        write_coco(data, self.out)
        shutil.rmtree(self.folder)
        return summary

    def _labelled(
        self,
        stream: CocoStream | DetectionStream,
        index: PartIndex,
        images: Mapping,
        summary: Summary,
        head: dict[str, Any],
    ) -> Iterator[dict[str, Any]]:
        bad_boxes = {skip.annotation_index: skip.reason for skip in self.plan.skips}
        for place, (annotation, fields) in enumerate(zip(stream, index.fields(), strict=True)):
            if place in bad_boxes:
                fields = {'mal_skipped': bad_boxes[place]}
            if fields is not None:
                apply_fields(annotation, fields, images)
                summary.add(fields, place, annotation)
            yield annotation
        head['skipped'] = summary.as_dict()['skipped']


def sha256(path: str | Path) -> str:
    """Hex digest of a file's content."""
    digest = hashlib.sha256()
    with Path(path).open('rb') as file:
        while piece := file.read(2**20):
            digest.update(piece)
    return digest.hexdigest()


def _share(todo: list[int], sizes: list[int]) -> list[int]:
    """This rank's portions: a stretch of the file with its share of the boxes."""
    boxes = np.cumsum([0] + [sizes[number] for number in todo])
    middles = (boxes[:-1] + boxes[1:]) / 2
    owner = middles * get_world_size() // max(boxes[-1], 1)
    return [number for number, rank in zip(todo, owner, strict=True) if rank == get_rank()]
