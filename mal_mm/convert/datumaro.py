"""Datumaro's JSON: annotations/SUBSET.json, images/SUBSET/..., masks as RLE.

An object is a mask and a box of one group; our fields are attributes of both.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from ..formats.errors import AnnotationError
from ..formats.json_file import read_json, write_json
from ..formats.mal_fields import QUALITY
from ..formats.rle import rle_to_str_counts
from .attributes import FILE_NAME, IMAGE_ID, id_text, id_value, own_attributes, pack, unpack
from .builder import Builder
from .files import new_folder
from .findings import Findings
from .images import copy_image
from .objects import Thing, category_names, pictures
from .registry import ReadOptions, WriteOptions

_VERSION = '1.0'


def read_datumaro(source: Path, options: ReadOptions, findings: Findings) -> dict[str, Any]:
    """Read a Datumaro folder or one of its JSON files.

    Args:
        source: the folder, whose subsets become `split`, or a file.
        options: `split` takes one subset.
        findings: gets what is neither box, polygon nor mask.

    Raises:
        AnnotationError: it is no such file.
    """
    source = Path(source)
    files = sorted((source / 'annotations').glob('*.json')) if source.is_dir() else [source]
    if options.split is not None:
        files = [path for path in files if path.stem == options.split]
    if not files:
        raise AnnotationError(f'{source}: no annotations/*.json in it; check the path')
    builder = Builder(findings)
    for path in files:
        data = read_json(path)
        if not isinstance(data, dict) or not isinstance(data.get('items'), list):
            raise AnnotationError(f"{path}: no 'items' at the top; give Datumaro's JSON")
        labels = (data.get('categories') or {}).get('label') or {}
        names = [str(label.get('name')) for label in labels.get('labels', ())]
        for name in names:
            builder.category(name)
        for place, item in enumerate(data['items']):
            with findings.listing('item of an odd form', f'{path.name}, items[{place}]'):
                _read_item(item, names, path.stem if len(files) > 1 else '', builder)
    return builder.data()


def _read_item(item: dict[str, Any], names: list[str], split: str, builder: Builder) -> None:
    described = item.get('image') or {}
    height, width = (described.get('size') or (0, 0))[:2]
    name = (item.get('attr') or {}).get(FILE_NAME) or _item_name(item, described)
    fields = {'split': split} if split else {}
    image_id = id_value((item.get('attr') or {}).get(IMAGE_ID))
    image = builder.image(name, width, height, f'item {item.get("id")!r}', **fields)
    if image is None:
        return
    if image_id is not None:
        image[IMAGE_ID] = image_id
    groups: dict[Any, list[dict[str, Any]]] = {}
    for place, annotation in enumerate(item.get('annotations') or ()):
        where = f'{name}, annotation {annotation.get("id", place)}'
        if annotation.get('type') not in ('bbox', 'mask', 'polygon'):
            builder.findings.lose(f'{annotation.get("type")} is neither box nor mask', where)
            continue
        key = (annotation.get('group') or f'alone {place}', annotation.get('label_id'))
        groups.setdefault(key, []).append({**annotation, 'where': where})
    for parts in groups.values():
        with builder.findings.listing('annotation of an odd form', parts[0]['where']):
            _add(parts, names, image, builder)


def _item_name(item: dict[str, Any], described: dict[str, Any]) -> str:
    stated = str(described.get('path') or '')
    suffix = PurePosixPath(stated).suffix or '.jpg'
    return f'{item.get("id")}{suffix}'


def _add(
    parts: list[dict[str, Any]], names: list[str], image: dict[str, Any], builder: Builder
) -> None:
    by_kind: dict[str, list[dict[str, Any]]] = {}
    for part in parts:
        by_kind.setdefault(part['type'], []).append(part)
    masks, boxes = by_kind.get('mask', []), by_kind.get('bbox', [])
    polygons = by_kind.get('polygon', [])
    if len(masks) > 1 or len(boxes) > 1:  # a group of several objects
        for part in parts:
            _add([part], names, image, builder)
        return
    first = parts[0]
    label: Any = first.get('label_id')
    known = type(label) is int and 0 <= label < len(names)
    box = None
    if boxes:
        x, y, w, h = boxes[0]['bbox']
        box = (x, y, x + w, y + h)
    segmentation = masks[0].get('rle') if masks else [p.get('points') for p in polygons] or None
    builder.add(
        image,
        names[label] if known else f'label {label}',
        first['where'],
        box_xyxy=box,
        segmentation=segmentation,
        **unpack(first.get('attributes') or {}),
    )


def write_datumaro(
    data: Mapping[str, Any], out: Path, options: WriteOptions, findings: Findings
) -> None:
    """Write a new Datumaro folder; `img_root`: images are copied into it.

    Args:
        data: COCO-style object; `split` of an image names its subset.
        out: the folder.
        options: `shapes` 'polygons' writes polygons instead of masks.
        findings: gets what cannot be written.
    """
    names = list(dict.fromkeys(category_names(data, findings).values()))
    subsets: dict[str, list[dict[str, Any]]] = {}
    used: set[tuple[str, str]] = set()
    with new_folder(out) as folder:
        for picture in pictures(data, findings):
            split = str(picture.image.get('split') or 'default')
            if '/' in split or '\\' in split or '\0' in split or split in ('.', '..'):
                split = 'default'
            number = str(PurePosixPath(picture.name).with_suffix(''))
            if (split, number) in used:  # a.jpg beside a.png
                number = picture.name
            used.add((split, number))
            annotations: list[dict[str, Any]] = []
            for group, thing in enumerate(picture.things, start=1):
                if thing.label not in names:
                    names.append(thing.label)
                annotations += _written(
                    thing, group, names.index(thing.label), len(annotations), options, findings
                )
            subsets.setdefault(split, []).append(
                {
                    'id': number,
                    'annotations': annotations,
                    'attr': {
                        IMAGE_ID: id_text(picture.image.get('id')),
                        FILE_NAME: picture.name,
                    },
                    'image': {'path': picture.name, 'size': [picture.height, picture.width]},
                }
            )
            to = folder / 'images' / split / picture.name
            copy_image(picture, options.img_root, to, findings)
        (folder / 'annotations').mkdir()
        (folder / 'images').mkdir(exist_ok=True)
        labels = [{'name': name, 'parent': '', 'attributes': []} for name in names]
        for split, items in (subsets or {'default': []}).items():
            described = {
                'dm_format_version': _VERSION,
                'media_type': 2,
                'infos': {},
                'categories': {'label': {'labels': labels, 'label_groups': [], 'attributes': []}},
                'items': items,
            }
            write_json(described, folder / 'annotations' / f'{split}.json')


def _written(
    thing: Thing,
    group: int,
    label: int,
    number: int,
    options: WriteOptions,
    findings: Findings,
) -> list[dict[str, Any]]:
    attributes = {**own_attributes(thing.annotation), **pack(thing.annotation)}
    if thing.quality is not None:
        attributes[QUALITY] = thing.quality  # a number, to sort and filter by
    common = {'attributes': attributes, 'group': group, 'label_id': label, 'z_order': 0}
    shapes: list[dict[str, Any]] = []
    if thing.rle is not None and options.shapes == 'polygons':
        shapes += [
            {'type': 'polygon', 'points': polygon}
            for polygon in thing.rings(options.tolerance, findings)
        ]
    elif thing.rle is not None:
        shapes.append({'type': 'mask', 'rle': rle_to_str_counts(thing.rle)})
    if thing.box_xyxy is not None:
        x0, y0, x1, y1 = thing.box_xyxy
        shapes.append({'type': 'bbox', 'bbox': [x0, y0, x1 - x0, y1 - y0]})
    return [{'id': number + i, **shape, **common} for i, shape in enumerate(shapes)]
