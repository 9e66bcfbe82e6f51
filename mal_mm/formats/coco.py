"""COCO-style annotation files: reading with clear errors, look-up by id, writing whole.

Everything here works on the plain dict that json gives, so that every field and top-level key
that mal_mm does not know comes out as it went in.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from .boxes import Skip, box_problem
from .errors import AnnotationError, shorten
from .json_file import read_json, write_json
from .json_stream import JsonStream
from .rle import annotation_to_rle, rle_to_str_counts

__all__ = [
    'AnnotationError',
    'CocoStream',
    'Skip',
    'annotation_to_rle',
    'box_problem',
    'index_annotations',
    'index_categories',
    'index_images',
    'read_coco',
    'rle_to_str_counts',
    'split_usable',
    'write_coco',
]

_JSON_TYPES = {
    dict: 'an object',
    list: 'a list',
    str: 'a string',
    bool: 'a truth value',
    int: 'a number',
    float: 'a number',
    type(None): 'null',
}


def read_coco(path: str | Path) -> dict[str, Any]:
    """Read a COCO-style annotation file.

    Args:
        path: a JSON file in UTF-8, plain or gzipped. No annotations at all is not an error.

    Returns:
        The file's object; `images` and `annotations` are lists of objects, the rest is unchecked.

    Raises:
        AnnotationError: the file cannot be read or is no such file; says where and how to fix it.
    """
    data = read_json(path)
    check_coco(data, path)
    return data


class CocoStream:
    """A COCO-style annotation file whose annotations are read one by one, as often as asked for.

    Args:
        path: see `read_coco`; the same errors.
        images_alone: annotations may be missing, as in the files of test sets.
        stream: the file, where it was opened already.

    Attributes:
        value: the file's object, with an empty list as `annotations`.
        count: number of annotations.
    """

    def __init__(
        self, path: str | Path, images_alone: bool = False, stream: JsonStream | None = None
    ) -> None:
        self.path = Path(path)
        self._stream = stream or JsonStream(path, 'annotations')
        self.value = self._stream.value
        if images_alone and isinstance(self.value, dict):
            self.value.setdefault('annotations', [])
        self.count = self._stream.count
        check_coco(self.value, path)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """The annotations, each a fresh object.

        Raises:
            AnnotationError: one of them is no object.
        """
        for i, annotation in enumerate(self._stream):
            _check_record(annotation, 'annotations', i, self.path)
            yield annotation

    def whole(self, annotations: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
        """The file's object with other annotations."""
        return {**self.value, 'annotations': annotations}


def check_coco(data: object, path: str | Path) -> None:
    """Make sure that the value of a file is that of a COCO-style one; AnnotationError."""
    if not isinstance(data, dict):
        hint = ''
        if isinstance(data, list):
            hint = '; a list of detection results must be merged into its annotation file first'
        raise AnnotationError(
            f"{path}: expected an object with 'images' and 'annotations' at the top, got "
            f'{_json_type(data)}{hint}'
        )
    for key in ('images', 'annotations'):
        _records(data, key, path)


def write_coco(data: Mapping[str, Any], path: str | Path) -> None:
    """Write a COCO-style annotation file, whole or not at all.

    The file is compact UTF-8; a name ending in .gz is gzipped. NaN and infinity are written as
    Python's json reads and writes them: a box that came in with NaN must come out with it, though
    strict JSON has no word for it. numpy numbers and arrays become plain ones, bytes become text.

    Args:
        data: the file's object.
        path: where to; its folder must exist.

    Raises:
        AnnotationError: something JSON cannot hold; names the top-level key.
        OSError: the file cannot be written; names it.
    """
    write_json(data, path)


def index_images(data: Mapping[str, Any], path: str | Path) -> dict[Hashable, dict[str, Any]]:
    """Image id -> image record.

    Args:
        data: what `read_coco` gives.
        path: the file's name, for the errors.

    Raises:
        AnnotationError: an id is missing, of a wrong kind, or given twice.
    """
    return _index(data, 'images', path)


def index_annotations(data: Mapping[str, Any], path: str | Path) -> dict[Hashable, dict[str, Any]]:
    """Annotation id -> annotation; arguments and errors as for `index_images`."""
    return _index(data, 'annotations', path)


def index_categories(
    data: Mapping[str, Any], path: str | Path
) -> dict[Hashable, dict[str, Any]] | None:
    """Category id -> category; None where the file has no `categories` (nothing to check by).

    Arguments and errors as for `index_images`.
    """
    return _index(data, 'categories', path) if 'categories' in data else None


def split_usable(
    data: Mapping[str, Any], path: str | Path = 'annotations'
) -> tuple[list[int], list[Skip]]:
    """Part the annotations whose boxes can be used from those that must be left alone.

    Args:
        data: what `read_coco` gives.
        path: the file's name, for the errors.

    Returns:
        Places of the usable annotations, ascending, and one Skip for each other.

    Raises:
        AnnotationError: the images or categories cannot be told apart by their ids.
    """
    images, categories = index_images(data, path), index_categories(data, path)
    usable: list[int] = []
    skips: list[Skip] = []
    for i, annotation in enumerate(data['annotations']):
        problem = box_problem(annotation, images, categories)
        if problem is None:
            usable.append(i)
        else:
            skips.append(Skip(i, annotation.get('id'), problem))
    return usable, skips


def _records(data: Mapping[str, Any], key: str, path: str | Path) -> list[dict[str, Any]]:
    if key not in data:
        found = ', '.join(repr(k) for k in list(data)[:8]) or 'none'
        fix = 'give a COCO-style annotation file (instances_*.json)'
        if 'videos' in data:
            fix = (
                'this looks like YouTube-VIS, which `mal-mm generate` and `label` take as it is; '
                '`mal-mm convert youtube-vis` makes an image of each frame'
            )
        raise AnnotationError(f'{path}: no {key!r} at the top (keys found: {found}); {fix}')
    records = data[key]
    if not isinstance(records, list):
        fix = ''
        if (
            isinstance(records, dict)
            and records
            and isinstance(next(iter(records.values())), dict)
        ):
            # as LIVECell has them
            fix = f'; write its values as a list, without their keys: list({key}.values())'
        raise AnnotationError(
            f'{path}: {key!r} must be a list of objects, got {_json_type(records)}{fix}'
        )
    for i, record in enumerate(records):
        _check_record(record, key, i, path)
    return records


def _check_record(record: object, key: str, place: int, path: str | Path) -> None:
    if not isinstance(record, dict):
        raise AnnotationError(f'{path}: {key}[{place}] must be an object, got {shorten(record)}')


def _index(data: Mapping[str, Any], key: str, path: str | Path) -> dict[Hashable, dict[str, Any]]:
    by_id: dict[Hashable, dict[str, Any]] = {}
    for i, record in enumerate(_records(data, key, path)):
        record_id = record.get('id')
        if type(record_id) not in (int, str):
            what = f'{record_id!r} as id, not a whole number' if 'id' in record else 'no id'
            raise AnnotationError(f'{path}: {key}[{i}] has {what}; number the {key}')
        if record_id in by_id:
            raise AnnotationError(
                f'{path}: id {record_id!r} occurs twice in {key!r}; each needs its own'
            )
        by_id[record_id] = record
    return by_id


def _json_type(value: object) -> str:
    return _JSON_TYPES.get(type(value), type(value).__name__)
