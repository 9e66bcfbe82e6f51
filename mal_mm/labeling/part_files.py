"""Results on their way to the annotation file: append-only, checked, safe against a kill.

A part file holds one line a record, `<crc32 of the rest> <json>`: the changes of a portion's
annotations, and a closing line that says how many they were and what was read for them. Only
portions with their closing line count; what a kill left behind after the last one is cut off by
the next start. And only those that hold what the plan wants of them: a record for each of their
annotations.
"""

from __future__ import annotations

import json
import os
import time
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .image_io import ImageStamp
from .plan import Plan
from .portion_labeler import Change

_FSYNC_SECONDS = 1.0


def _line(value: Any) -> bytes:
    text = json.dumps(value, separators=(',', ':')).encode('ascii')
    return b'%08x %s\n' % (zlib.crc32(text), text)


def _parse(line: bytes) -> Any:
    """The value of a line; None for a torn or damaged one."""
    if line[-1:] != b'\n' or line[8:9] != b' ':
        return None
    text = line[9:-1]
    try:
        return json.loads(text) if int(line[:8], 16) == zlib.crc32(text) else None
    except ValueError:
        return None


class PartWriter:
    """Appends portions to a part file; opens it behind its last whole portion.

    Args:
        path: of the part file.

    Raises:
        OSError: the file cannot be written; names it. Also from `write` and `close`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        end = max((portion.stop for portion in read_portions(path)), default=0)
        self._file = path.open('ab', buffering=0)  # an error comes out where it happens
        self._file.truncate(end)
        self._synced = time.monotonic()

    def write(
        self,
        portion: int,
        changes: list[Change],
        images: Mapping[int, ImageStamp] | None = None,
    ) -> None:
        """Append a portion, whole.

        Args:
            portion: its number.
            changes: of its annotations.
            images: number of an image in the plan -> what was read.
        """
        lines = b''.join(_line(change) for change in changes)
        stamps = [[image, *stamp] for image, stamp in (images or {}).items()]
        lines += _line({'portion': portion, 'records': len(changes), 'images': stamps})
        rest = memoryview(lines)
        try:
            while rest:
                rest = rest[self._file.write(rest) :]
            if time.monotonic() - self._synced > _FSYNC_SECONDS:
                os.fsync(self._file.fileno())
                self._synced = time.monotonic()
        except OSError as error:
            raise OSError(
                error.errno, f'cannot write: {error.strerror}', str(self.path)
            ) from error

    def close(self) -> None:
        """Make sure that all is on the disk."""
        try:
            os.fsync(self._file.fileno())
        finally:
            self._file.close()


class PortionRecord(NamedTuple):
    """A whole portion of a part file.

    Attributes:
        number: of the portion.
        records: (place, start, stop) of each record's line.
        stop: where it ends in the file.
        images: number of an image in the plan -> what was read for it.
    """

    number: int
    records: list[tuple[int, int, int]]
    stop: int
    images: dict[int, ImageStamp]


def read_portions(path: Path) -> Iterator[PortionRecord]:
    """Whole portions of a part file; none where there is no file."""
    try:
        file = path.open('rb')
    except FileNotFoundError:
        return
    with file:
        records, at = [], 0
        for line in file:
            value = _parse(line)
            start, at = at, at + len(line)
            if isinstance(value, list) and len(value) == 2 and isinstance(value[1], dict):
                records.append((value[0], start, at))
            elif isinstance(value, dict) and value.get('records') == len(records):
                images = {image: ImageStamp(*stamp) for image, *stamp in value.get('images', [])}
                yield PortionRecord(value['portion'], records, at, images)
                records = []
            else:
                return  # torn or damaged: nothing behind it can be trusted


class PartIndex:
    """Where the result of each planned annotation lies; 13 bytes an annotation.

    Args:
        folder: of the part files.
        plan: what there is to label.
        portions: [start, stop) of each portion in the plan.
        names: part files that have to be there, though a network disk may not list them yet.

    Attributes:
        done: numbers of the portions that are complete.
        images: number of an image in the plan -> what was read for it.
        conflicts: a sentence for each portion that is there twice, with other results.
    """

    def __init__(
        self,
        folder: Path,
        plan: Plan,
        portions: Sequence[tuple[int, int]],
        names: Sequence[str] = (),
    ) -> None:
        self.paths = sorted({*folder.glob('*.part'), *(folder / name for name in names)})
        self.plan, self.portions = plan, portions
        self._part = np.full(plan.count, -1, dtype=np.int32)
        self._start = np.zeros(plan.count, dtype=np.int64)
        self._length = np.zeros(plan.count, dtype=np.int32)
        self.done: set[int] = set()
        self.images: dict[int, ImageStamp] = {}
        self.conflicts: list[str] = []
        for number, path in enumerate(self.paths):
            for portion in read_portions(path):
                if self._is_wanted(portion):
                    self._add(number, portion)

    def _is_wanted(self, portion: PortionRecord) -> bool:
        """Whether it holds one record for each annotation of its portion; others are not done."""
        if type(portion.number) is not int or not 0 <= portion.number < len(self.portions):
            return False
        start, stop = self.portions[portion.number]
        places = [place for place, _, _ in portion.records]
        return all(type(place) is int for place in places) and sorted(places) == sorted(
            self.plan.places[start:stop].tolist()
        )

    def _add(self, part: int, portion: PortionRecord) -> None:
        if portion.number in self.done:
            if not self._is_same(part, portion):
                first = self.paths[self._part[portion.records[0][0]]]
                self.conflicts.append(
                    f'{first} and {self.paths[part]} hold different results of portion '
                    f'{portion.number}'
                )
            return
        self.done.add(portion.number)
        self.images.update(portion.images)
        for place, start, stop in portion.records:
            self._part[place] = part
            self._start[place] = start
            self._length[place] = stop - start

    def _is_same(self, part: int, portion: PortionRecord) -> bool:
        with self.paths[part].open('rb') as file:
            for place, start, stop in portion.records:
                file.seek(start)
                if file.read(stop - start) != self._read(place):
                    return False
        return True

    def _read(self, place: int) -> bytes:
        with self.paths[self._part[place]].open('rb') as file:
            file.seek(self._start[place])
            return file.read(self._length[place])

    def missing(self) -> list[int]:
        """Places of the plan without a record, ascending."""
        return np.sort(self.plan.places[self._part[self.plan.places] < 0]).tolist()

    def fields(self) -> Iterator[dict[str, Any] | None]:
        """The fields of each annotation in the order of the file; None where none is planned.

        Raises:
            OSError: a record can be read no more.
        """
        files = {part: self.paths[part].open('rb') for part in np.unique(self._part) if part >= 0}
        try:
            for place, part in enumerate(self._part.tolist()):
                if part < 0:
                    yield None
                    continue
                files[part].seek(self._start[place])
                record = _parse(files[part].read(self._length[place]))
                if not isinstance(record, list) or record[0] != place:
                    raise OSError(f'{self.paths[part]}: has been changed while it was read')
                yield record[1]
        finally:
            for file in files.values():
                file.close()
