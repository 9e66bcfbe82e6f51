"""COCO-style files and their relatives: CVAT's zipped COCO, LVIS, Objects365."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from ..formats import coco as coco_file
from ..formats.errors import AnnotationError
from ..formats.paths import image_file_name
from ..formats.rle import rle_to_str_counts
from .attributes import BOX, ID, IMAGE_ID, id_value, unpack
from .box_formats import to_xywh
from .builder import carried_box
from .files import read_source, text_of
from .findings import Findings
from .objects import pictures
from .registry import ReadOptions, WriteOptions


def read_coco_zip(source: Path) -> dict[str, Any]:
    """A COCO-style object from a file, or from the one such file in a zip or a folder.

    Raises:
        AnnotationError: there is none, or more than one.
        OSError: it cannot be read.
    """
    source = Path(source)
    if not source.is_dir() and not zipfile.is_zipfile(source):
        return coco_file.read_coco(source)
    found = {}
    for name, content in read_source(source, ('.json',)):
        try:
            value = json.loads(text_of(content, name))
        except (ValueError, RecursionError):
            continue
        if isinstance(value, dict) and {'images', 'annotations'} <= set(value):
            found[name] = value
    if len(found) != 1:
        named = ', '.join(found) or 'none'
        raise AnnotationError(
            f'{source}: expected one COCO-style file in it, found {named}; give the file itself'
        )
    ((_, value),) = found.items()
    for key in ('images', 'annotations'):
        records = value[key]
        if not isinstance(records, list) or not all(isinstance(r, dict) for r in records):
            raise AnnotationError(f'{source}: {key!r} must be a list of objects')
    return value


def read_coco(source: Path, options: ReadOptions, findings: Findings) -> dict[str, Any]:
    """Read a COCO-style file; boxes are brought to x, y, width, height.

    Attributes that carry our fields (`mal_id`, ...) become fields again.
    """
    data = read_coco_zip(source)
    for annotation in data['annotations']:
        own = annotation.get('attributes')
        if isinstance(own, dict) and any(str(name).startswith('mal_') for name in own):
            del annotation['attributes']
            fields = unpack(own)
            fields.pop(IMAGE_ID, None)
            box = fields.pop(BOX, None)
            if box is not None and 'bbox' in annotation:
                annotation['bbox'] = carried_box(box, annotation['bbox'])
            annotation.update(fields)
    _take_ids_back(data, findings)
    return to_xywh(data, options.box_format, findings)


def _take_ids_back(data: dict[str, Any], findings: Findings) -> None:
    """Ids that our export gave away and the tool has renumbered."""
    brought = [id_value(annotation.pop(ID, None)) for annotation in data['annotations']]
    known = [value for value in brought if type(value) in (int, str)]
    taken: set[Any] = set()
    free = 1
    if not known:
        return
    findings.known_ids |= set(known)
    for annotation, value in zip(data['annotations'], brought, strict=True):
        if type(value) not in (int, str) or value in taken:
            while free in taken or free in known:
                free += 1
            value = free
        taken.add(value)
        annotation['id'] = value


def read_lvis(source: Path, options: ReadOptions, findings: Findings) -> dict[str, Any]:
    """Read an LVIS file; `file_name` is taken from the path in `coco_url`."""
    data = read_coco(source, options, findings)
    for image in data['images']:
        name = image_file_name(image)
        if name is not None:
            image['file_name'] = name
    return data


def read_objects365(source: Path, options: ReadOptions, findings: Findings) -> dict[str, Any]:
    """Read an Objects365 file; of version 2's `images/v1/patch0/a.jpg` the folder patch0 stays.

    Its archives unpack to patch0/a.jpg, and so MMDetection's Objects365V2Dataset has it.
    """
    data = read_coco(source, options, findings)
    for image in data['images']:
        name = image.get('file_name')
        if isinstance(name, str) and name.startswith('images/'):
            image['file_name'] = '/'.join(PurePosixPath(name).parts[-2:])
    return data


def write_coco(
    data: Mapping[str, Any], out: Path, options: WriteOptions, findings: Findings
) -> None:
    """Write a COCO-style file: the object as it is, or with masks in one form.

    Args:
        data: COCO-style object.
        out: the file; with .gz at the end it is zipped.
        options: `shapes` 'polygons' for readers without RLE (holes are cut in from the edge),
            'masks' for RLE throughout, None for what is there.
        findings: gets what that costs.
    """
    if options.shapes is not None:
        data = {**data, 'annotations': list(_in_one_form(data, options, findings))}
    coco_file.write_coco(data, out)


def _in_one_form(
    data: Mapping[str, Any], options: WriteOptions, findings: Findings
) -> Iterator[dict[str, Any]]:
    forms: dict[int, dict | list] = {}
    for picture in pictures(data, findings.without_fields()):
        for thing in picture.things:
            if thing.rle is not None and options.shapes == 'masks':
                forms[id(thing.annotation)] = rle_to_str_counts(thing.rle)
            elif thing.rle is not None and not thing.is_crowd:  # crowds are RLE in COCO
                forms[id(thing.annotation)] = thing.rings(options.tolerance, findings)
    for annotation in data['annotations']:
        form = forms.get(id(annotation))
        yield annotation if form is None else {**annotation, 'segmentation': form}
