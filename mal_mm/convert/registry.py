"""Which formats there are; each is a module of this package with `read`, `write` or both."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..formats.errors import AnnotationError
from ..formats.json_file import read_json
from .files import read_source
from .findings import ODD, Findings


@dataclass(frozen=True)
class ReadOptions:
    """How to read.

    Attributes:
        img_root: folder of the images, where the files do not say their sizes; None: as the
            format has it.
        split: which part of a data set; None for all.
        box_format: of COCO-style files, see `box_formats`.
    """

    img_root: Path | None = None
    split: str | None = None
    box_format: str = 'auto'


@dataclass(frozen=True)
class WriteOptions:
    """How to write.

    Attributes:
        shapes: 'masks' or 'polygons', where a format has both; None: as the format does best.
        tolerance: how far polygons may stray from masks, in pixels; up to 0.25 loses nothing.
        img_root: images to copy along; None: none are.
        prefix: what to put before file names in Label Studio's tasks.
    """

    shapes: str | None = None
    tolerance: float = 0.25
    img_root: Path | None = None
    prefix: str = '/data/local-files/?d='


Reader = Callable[[Path, ReadOptions, Findings], dict[str, Any]]
Writer = Callable[[Mapping[str, Any], Path, WriteOptions, Findings], None]


@dataclass(frozen=True)
class Format:
    """A format.

    Attributes:
        name: on the command line.
        read: module of this package that reads it; '' where none does.
        write: module that writes it; '' where none does.
        about: in a line.
    """

    name: str
    read: str
    write: str
    about: str

    def reader(self) -> Reader:
        """The function that reads it; a file of another form raises AnnotationError."""
        read = _function(self.read, f'read_{self.name}')

        def checked(source: Path, options: ReadOptions, findings: Findings) -> dict[str, Any]:
            try:
                return read(source, options, findings)
            except AnnotationError:
                raise
            except ODD as error:
                said = str(error) if isinstance(error, ValueError) else repr(error)
                raise AnnotationError(
                    f'{source}: is not as {self.name} files are ({said}); check --help for the '
                    'format'
                ) from error

        return checked

    def writer(self) -> Writer:
        """The function that writes it."""
        return _function(self.write, f'write_{self.name}')


def _function(module: str, name: str) -> Any:
    found = importlib.import_module(f'.{module}', __package__)
    return getattr(found, name.replace('-', '_'))


_ALL = (
    Format('coco', 'coco_like', 'coco_like', 'COCO-style JSON, also zipped, as CVAT exports it'),
    Format('lvis', 'coco_like', '', 'LVIS JSON, names from coco_url'),
    Format('objects365', 'coco_like', '', 'Objects365 JSON, v1 or v2'),
    Format('yolo', 'yolo', 'yolo', 'Ultralytics data.yaml or folder; written as boxes'),
    Format('yolo-seg', 'yolo', 'yolo', 'the same, written as polygons'),
    Format('voc', 'voc', 'voc_write', 'Pascal VOC XML, masks as SegmentationObject PNGs'),
    Format('labelme', 'labelme', 'labelme', 'labelme and X-AnyLabeling JSON beside the images'),
    Format('cvat', 'cvat', 'cvat_write', 'CVAT for images 1.1, XML or zip'),
    Format(
        'label-studio',
        'label_studio',
        'label_studio_write',
        'Label Studio JSON',
    ),
    Format('datumaro', 'datumaro', 'datumaro', 'Datumaro JSON'),
    Format('fiftyone', 'fiftyone', 'fiftyone', "FiftyOne's COCO layout: data/ and labels.json"),
    Format('openimages', 'openimages', '', 'OpenImages boxes, CSV'),
    Format('youtube-vis', 'youtube_vis', 'youtube_vis', 'YouTube-VIS JSON, frame by frame'),
)
FORMATS = {each.name: each for each in _ALL}


def find_format(name: str, to_write: bool = False) -> Format:
    """A format by its name.

    Raises:
        ValueError: there is none, or not in this direction; says which there are.
    """
    found = FORMATS.get(name)
    if found is None or not (found.write if to_write else found.read):
        there = ', '.join(f.name for f in _ALL if (f.write if to_write else f.read))
        verb = 'written' if to_write else 'read'
        raise ValueError(f'{name!r} cannot be {verb}; formats that can: {there}')
    return found


def guess_format(path: Path) -> Format:
    """The format of a file or folder, by its name and first look.

    Raises:
        ValueError: it cannot be told; asks for the name.
    """
    name = _guess(Path(path))
    if name is None:
        raise ValueError(
            f'{path}: cannot tell the format; say it before the file: '
            f'{", ".join(f.name for f in _ALL if f.read)}'
        )
    return FORMATS[name]


def _guess(path: Path) -> str | None:
    if path.is_dir():
        if (path / 'labels.json').is_file():
            return 'fiftyone'
        if (path / 'Annotations').is_dir():
            return 'voc'
        if (path / 'labels').is_dir() or any(path.glob('*.yaml')):
            return 'yolo'
        if (path / 'annotations').is_dir() and any((path / 'annotations').glob('*.json')):
            return 'datumaro'
        if any(path.rglob('*.xml')):
            return 'voc'
        return 'labelme' if any(path.rglob('*.json')) else None
    ending = path.suffix.lower()
    if ending in ('.yaml', '.yml'):
        return 'yolo'
    if ending == '.csv':
        return 'openimages'
    if ending == '.xml':
        head = path.read_bytes()[:4000]
        return 'voc' if b'<annotation>' in head or b'<annotation ' in head else 'cvat'
    if ending == '.zip':
        return _guess_zip(path)
    if ending not in ('.json', '.gz'):
        return None
    try:
        data = read_json(path)
    except AnnotationError:
        return None
    return _guess_json(data)


def _guess_zip(path: Path) -> str | None:
    with suppress(AnnotationError):
        if any(name.endswith('annotations.xml') for name, _ in read_source(path, ('.xml',))):
            return 'cvat'
    with suppress(AnnotationError, ValueError):
        for _, content in read_source(path, ('.json',)):
            return _guess_json(json.loads(content))
    return None


def _guess_json(data: Any) -> str | None:
    if isinstance(data, list):
        return 'label-studio'
    if not isinstance(data, dict):
        return None
    if 'shapes' in data:
        return 'labelme'
    if 'videos' in data:
        return 'youtube-vis'
    if 'items' in data:
        return 'datumaro'
    images = data.get('images')
    if isinstance(images, list) and images and 'coco_url' in images[0]:
        return 'lvis' if 'file_name' not in images[0] else 'coco'
    return 'coco' if 'images' in data else None
