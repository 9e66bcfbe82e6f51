"""Writing Label Studio tasks with predictions, and the set-up that they fit."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote
from xml.sax.saxutils import quoteattr

from pycocotools import mask as mask_utils

from ..formats.atomic import atomic_write
from .attributes import FILE_NAME, IMAGE_ID, id_text, own_attributes
from .files import xml_can_hold
from .findings import Findings
from .label_studio import ID_PREFIX, SIZE_WH
from .label_studio_rle import encode_brush
from .objects import Picture, Thing, category_names, pictures
from .registry import WriteOptions


def write_label_studio(
    data: Mapping[str, Any], out: Path, options: WriteOptions, findings: Findings
) -> None:
    """Write tasks with predictions, and the labeling set-up beside them (OUT.config.xml).

    Args:
        data: COCO-style object.
        out: the JSON file to import.
        options: `shapes` 'polygons' writes polygons, masks (brush), the default, lose nothing;
            `prefix` stands before the file names.
        findings: gets what cannot be written.
    """
    names = list(dict.fromkeys(category_names(data, findings).values()))
    version = str((data.get('mal_mm') or {}).get('config') or 'mal_mm')[:80]
    with atomic_write(out) as file:
        separator = '['
        for picture in pictures(data, findings):
            task = _task(picture, version, options, findings)
            names += [t.label for t in picture.things if t.label not in names]
            file.write(separator + json.dumps(task, ensure_ascii=False))
            separator = ',\n'
        file.write(']' if separator != '[' else '[]')
    with atomic_write(out.with_suffix('.config.xml')) as file:
        file.write(_config(names, options))


def _task(
    picture: Picture, version: str, options: WriteOptions, findings: Findings
) -> dict[str, Any]:
    results: list[dict[str, Any]] = []
    for thing in picture.things:
        results += _written(thing, picture, options, findings)
    scores = [thing.quality for thing in picture.things if thing.quality is not None]
    prediction: dict[str, Any] = {'model_version': version, 'result': results}
    if scores:
        prediction['score'] = sum(scores) / len(scores)
    return {
        'data': {
            'image': options.prefix + quote(picture.name),
            FILE_NAME: picture.name,
            IMAGE_ID: id_text(picture.image.get('id')),
            **dict(zip(SIZE_WH, (picture.width, picture.height), strict=True)),
        },
        'predictions': [prediction] if results else [],
    }


def _written(
    thing: Thing, picture: Picture, options: WriteOptions, findings: Findings
) -> list[dict[str, Any]]:
    own = own_attributes(thing.annotation)
    shapes: list[tuple[str, dict[str, Any]]] = []
    width, height = picture.width, picture.height
    if thing.rle is not None and options.shapes == 'polygons':
        for polygon in thing.rings(options.tolerance, findings):
            pairs = zip(polygon[::2], polygon[1::2], strict=True)
            points = [[100 * x / width, 100 * y / height] for x, y in pairs]
            shapes.append(('polygonlabels', {'points': points, 'closed': True}))
    elif thing.rle is not None:
        rle = encode_brush(mask_utils.decode(thing.rle))
        shapes.append(('brushlabels', {'format': 'rle', 'rle': rle}))
    elif thing.box_xyxy is not None:
        x0, y0, x1, y1 = thing.box_xyxy
        value = {
            'x': 100 * x0 / width,
            'y': 100 * y0 / height,
            'width': 100 * (x1 - x0) / width,
            'height': 100 * (y1 - y0) / height,
            'rotation': 0,
        }
        shapes.append(('rectanglelabels', value))
    quality = thing.quality
    name = ID_PREFIX + quote(id_text(thing.annotation.get('id')), safe='')
    results = []
    for number, (kind, value) in enumerate(shapes):
        result = {
            'id': name + (f':{number}' if number else ''),
            'type': kind,
            'from_name': kind.removesuffix('labels'),
            'to_name': 'image',
            'original_width': width,
            'original_height': height,
            'image_rotation': 0,
            'value': {**value, kind: [thing.label]},
            'meta': {'mal': {**own, **thing.fields(with_box=True)}},
        }
        if quality is not None:
            result['score'] = quality
        results.append(result)
    return results


def _config(names: list[str], options: WriteOptions) -> str:
    """The set-up that the predictions fit."""
    labels = ''.join(
        f'    <Label value={quoteattr(name)}/>\n' for name in names if xml_can_hold(name)
    )
    parts = ['<View>\n  <Image name="image" value="$image" zoom="true"/>\n']
    for tag in ('BrushLabels', 'PolygonLabels', 'RectangleLabels'):
        kind = tag.removesuffix('Labels').lower()
        parts.append(f'  <{tag} name="{kind}" toName="image">\n{labels}  </{tag}>\n')
    return ''.join(parts) + '</View>\n'
