"""Label Studio: tasks with regions in percent of the image, brush masks, and predictions.

Written are predictions, which people accept or correct; the quality of a mask is its score. Our
ids go along as ids of the regions and in `meta`, the images' in the tasks' data.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlsplit
from xml.sax.saxutils import quoteattr

import numpy as np
from pycocotools import mask as mask_utils

from ..formats.atomic import atomic_write
from ..formats.errors import AnnotationError
from ..formats.rle import rle_to_str_counts
from .attributes import CONFIRMED, IMAGE_ID, id_text, id_value, own_attributes, unpack
from .builder import Builder
from .cvat import turned
from .files import is_picture, read_source, text_of, xml_can_hold
from .findings import Findings
from .label_studio_rle import decode_brush, encode_brush
from .labelme import circle
from .objects import Picture, Thing, category_names, pictures
from .registry import ReadOptions, WriteOptions

_NAME, _PREFIX = 'mal_file_name', 'mal:'
_KINDS = ('rectanglelabels', 'polygonlabels', 'brushlabels', 'ellipselabels')


def read_label_studio(source: Path, options: ReadOptions, findings: Findings) -> dict[str, Any]:
    """Read an export (JSON, or the zip of it): people's annotations, else predictions.

    Args:
        source: the file.
        options: not used.
        findings: gets regions that are neither box nor mask, and turned images.

    Returns:
        COCO-style object. Objects of tasks that people have submitted have `mal_confirmed`.

    Raises:
        AnnotationError: it is no such file.
    """
    source = Path(source)
    builder = Builder(findings)
    for name, content in read_source(source, ('.json',)):
        try:
            tasks = json.loads(text_of(content, name))
        except (ValueError, RecursionError) as error:
            raise AnnotationError(f'{source}: not valid JSON ({error})') from None
        if not isinstance(tasks, list) or not all(isinstance(task, dict) for task in tasks):
            raise AnnotationError(
                f"{source}: expected a list of tasks; export as 'JSON' (not JSON-MIN)"
            )
        if any('data' not in task for task in tasks):
            raise AnnotationError(f"{source}: tasks without 'data'; export as 'JSON'")
        for place, task in enumerate(tasks, start=1):
            _read_task(task, place, builder)
    return builder.data()


def _read_task(task: dict[str, Any], place: int, builder: Builder) -> None:
    where = f'task {task.get("id", place)}'
    results, by_people = _results(task, where, builder.findings)
    data = task['data'] if isinstance(task['data'], dict) else {}
    name = data.get(_NAME) or _file_name(data)
    sizes = [(r.get('original_width'), r.get('original_height')) for r in results]
    sizes = [size for size in sizes if all(type(v) in (int, float) and v > 0 for v in size)]
    known = (data.get('mal_width'), data.get('mal_height'))
    if all(type(side) is int for side in known):
        sizes.append(known)
    if name is None:
        builder.findings.lose('task without an image', where)
        return
    if not sizes:
        builder.findings.lose('task whose image has no size (no region says it)', where)
        return
    image = builder.image(name, int(sizes[0][0]), int(sizes[0][1]), where)
    if image is None:
        return
    image_id = id_value(data.get(IMAGE_ID))
    if image_id is not None:
        image[IMAGE_ID] = image_id
    regions: dict[Any, list[dict[str, Any]]] = {}
    for number, result in enumerate(results):
        if result.get('type') == 'relation' or 'value' not in result:
            builder.findings.lose(f'{result.get("type")} is neither box nor mask', where)
            continue
        regions.setdefault(_object_key(result, number), []).append(result)
    for parts in regions.values():
        _add(parts, image, where, by_people, builder)


def _results(
    task: dict[str, Any], where: str, findings: Findings
) -> tuple[list[dict[str, Any]], bool]:
    """Regions of the newest annotation, or of the newest prediction; and whether people did."""
    done = [
        a
        for a in task.get('annotations') or task.get('completions') or ()
        if isinstance(a, dict) and not a.get('was_cancelled')
    ]
    if done:
        done.sort(key=lambda a: str(a.get('updated_at') or a.get('created_at') or ''))
        if len(done) > 1:
            findings.note('task with several annotations, the newest is taken', where)
        return _regions(done[-1]), True
    predictions = [p for p in task.get('predictions') or () if isinstance(p, dict)]
    return (_regions(predictions[-1]) if predictions else []), False


def _regions(annotation: dict[str, Any]) -> list[dict[str, Any]]:
    return [r for r in annotation.get('result') or () if isinstance(r, dict)]


def _file_name(data: dict[str, Any]) -> str | None:
    """The name of an image from its address in a task."""
    addresses = [v for k, v in data.items() if isinstance(v, str) and k == 'image']
    addresses += [v for v in data.values() if isinstance(v, str)]
    for address in addresses:
        parts = urlsplit(address)
        local = parse_qs(parts.query).get('d')
        path = local[0] if local else unquote(parts.path)
        if not is_picture(path):
            continue
        if local:
            return path.lstrip('/')
        upload = re.fullmatch(r'/?data/upload/(?:\d+/)?(?:[0-9a-f]{8}-)?(.+)', path)
        return upload[1] if upload else PurePosixPath(path).name
    return None


def _object_key(result: dict[str, Any], number: int) -> Any:
    # parts of one object have ids `mal:12`, `mal:12#1`, ...; a region and its label share an id
    name = str(result.get('id') or f'alone {number}')
    return name.rsplit('#', 1)[0] if name.startswith(_PREFIX) else name


def _add(
    parts: list[dict[str, Any]],
    image: dict[str, Any],
    where: str,
    by_people: bool,
    builder: Builder,
) -> None:
    box, polygons, mask, label, score = None, [], None, None, None
    attributes: dict[str, Any] = {}
    for result in parts:
        value = result.get('value') if isinstance(result.get('value'), dict) else {}
        kind = result.get('type')
        here = f'{where}, region {result.get("id")}'
        found = value.get(kind) if kind in (*_KINDS, 'labels') else None
        if isinstance(found, list) and found:
            label = str(found[0])
            if len(found) > 1:
                builder.findings.lose('further labels of a region', f'{here}: {found[1:]}')
        attributes.update(_meta(result))
        score = result.get('score', score)
        if result.get('image_rotation'):
            builder.findings.lose('region of a turned image', here)
            continue
        try:
            shape = _shape(kind, value, image, here, builder.findings)
        except (TypeError, ValueError, KeyError) as error:
            builder.findings.lose(f'{kind} damaged', f'{here}: {error!r}')
            continue
        if isinstance(shape, tuple):
            box = shape
        elif isinstance(shape, dict):
            mask = shape
        elif shape is not None:
            polygons.append(shape)
    if box is None and mask is None and not polygons:
        return
    if label is None:
        builder.findings.note('region without a label', where)
        label = 'no label'
    first = str(parts[0].get('id') or '')
    if first.startswith(_PREFIX):
        attributes.setdefault('mal_id', first[len(_PREFIX) :].rsplit('#', 1)[0])
    if by_people:
        attributes[CONFIRMED] = True
    fields = unpack(attributes)
    if isinstance(score, (int, float)) and score != fields.get('mal_quality'):
        fields.setdefault('score', score)
    builder.add(
        image,
        label,
        f'{where}, region {first}',
        box_xyxy=box,
        segmentation=mask if mask is not None else polygons or None,
        **fields,
    )


def _meta(result: dict[str, Any]) -> dict[str, Any]:
    meta = result.get('meta')
    ours = meta.get('mal') if isinstance(meta, dict) else None
    return dict(ours) if isinstance(ours, dict) else {}


def _shape(
    kind: object, value: dict[str, Any], image: dict[str, Any], where: str, findings: Findings
) -> Any:
    """A box as tuple, a polygon as list, a mask as RLE; None for a label by itself."""
    width, height = image['width'], image['height']
    if 'rle' in value:
        mask = decode_brush(value['rle'], height, width)
        return rle_to_str_counts(mask_utils.encode(np.asfortranarray(mask)))
    if 'points' in value:
        return [
            _near(v * side / 100)
            for x, y in value['points']
            for v, side in ((x, width), (y, height))
        ]
    if 'radiusX' in value:
        findings.note('ellipse, taken as a polygon of 90 points', where)
        x, y = value['x'] * width / 100, value['y'] * height / 100
        rx, ry = value['radiusX'] * width / 100, value['radiusY'] * height / 100
        if value.get('rotation'):
            findings.lose('turn of an ellipse', where)
        return circle((x, y), rx, ry / rx)
    if {'x', 'y', 'width', 'height'} <= set(value):
        x, y = value['x'] * width / 100, value['y'] * height / 100
        x1, y1 = x + value['width'] * width / 100, y + value['height'] * height / 100
        if (value.get('rotation') or 0) % 360:
            findings.note('turned box, taken as a polygon of its corners', where)
            # Label Studio turns round the upper left corner
            return _turned_about_corner(x, y, x1, y1, value['rotation'])
        return tuple(map(_near, (x, y, x1, y1)))
    if kind in (*_KINDS, 'labels') or kind in ('rectangle', 'polygon', 'brush'):
        return None
    findings.lose(f'{kind} is neither box nor mask', where)
    return None


def _turned_about_corner(
    x0: float, y0: float, x1: float, y1: float, degrees: float
) -> list[float]:
    points = np.array(turned([2 * x0 - x1, 2 * y0 - y1, x1, y1], degrees)).reshape(4, 2)
    corner = np.array([x0, y0])
    radians = math.radians(degrees)
    right = corner + (x1 - x0) * np.array([math.cos(radians), math.sin(radians)])
    down = corner + (y1 - y0) * np.array([-math.sin(radians), math.cos(radians)])
    return np.stack([corner, right, points[2], down]).round(3).ravel().tolist()


def _near(value: float) -> float:
    nearest = round(value)
    return float(nearest) if abs(value - nearest) < 1e-6 else round(value, 6)


# -------------------------------------------------------------------------------------- writing


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
    scores = [r['score'] for r in results if 'score' in r]
    prediction: dict[str, Any] = {'model_version': version, 'result': results}
    if scores:
        prediction['score'] = sum(scores) / len(scores)
    return {
        'data': {
            'image': options.prefix + quote(picture.name),
            _NAME: picture.name,
            IMAGE_ID: id_text(picture.image.get('id')),
            'mal_width': picture.width,
            'mal_height': picture.height,
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
    quality = thing.annotation.get('mal_quality')
    results = []
    for number, (kind, value) in enumerate(shapes):
        result = {
            'id': _PREFIX + id_text(thing.annotation.get('id')) + (f'#{number}' if number else ''),
            'type': kind,
            'from_name': kind.removesuffix('labels'),
            'to_name': 'image',
            'original_width': width,
            'original_height': height,
            'image_rotation': 0,
            'value': {**value, kind: [thing.label]},
            'meta': {'mal': {**own, **thing.fields(with_box=True)}},
        }
        if isinstance(quality, (int, float)):
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
