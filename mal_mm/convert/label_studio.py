"""Label Studio: tasks with regions in percent of the image, brush masks, and predictions.

Written are predictions, which people accept or correct; the quality of a mask is its score. Our
ids go along as ids of the regions and in `meta`, the images' in the tasks' data.
"""

from __future__ import annotations

import json
import math
import re
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import numpy as np
from pycocotools import mask as mask_utils

from ..formats.errors import AnnotationError
from ..formats.mal_fields import QUALITY
from ..formats.rle import rle_to_str_counts
from .attributes import CONFIRMED, FILE_NAME, ID, IMAGE_ID, id_value, unpack
from .builder import Builder
from .files import is_picture, read_source, text_of
from .findings import ODD, Findings
from .label_studio_rle import decode_brush
from .labelme import circle
from .registry import ReadOptions

# of a task's data
SIZE_WH = ('mal_width', 'mal_height')
ID_PREFIX = 'mal:'
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
            with findings.listing('task of an odd form', f'task {task.get("id", place)}'):
                _read_task(task, place, builder)
    return builder.data()


def _read_task(task: dict[str, Any], place: int, builder: Builder) -> None:
    where = f'task {task.get("id", place)}'
    results, by_people = _results(task, where, builder.findings)
    data = task['data'] if isinstance(task['data'], dict) else {}
    name = data.get(FILE_NAME) or _file_name(data)
    stated: list[Any] = [(r.get('original_width'), r.get('original_height')) for r in results]
    sizes: list[Any] = [s for s in stated if all(type(v) in (int, float) and v > 0 for v in s)]
    known = tuple(map(data.get, SIZE_WH))
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
    # parts of one object have ids `mal:12`, `mal:12:1`, ...; a region and its label share an id
    name = str(result.get('id') or f'alone {number}')
    return ':'.join(name.split(':')[:2]) if name.startswith(ID_PREFIX) else name


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
        value: Any = result.get('value')
        value = value if isinstance(value, dict) else {}
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
        except ODD as error:
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
    if first.startswith(ID_PREFIX):
        attributes.setdefault(ID, unquote(first.split(':')[1]))
    if by_people:
        attributes[CONFIRMED] = True
    fields = unpack(attributes)
    if isinstance(score, (int, float)) and score != fields.get(QUALITY):
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
    corner, radians = np.array([x0, y0]), math.radians(degrees)
    across = (x1 - x0) * np.array([math.cos(radians), math.sin(radians)])
    down = (y1 - y0) * np.array([-math.sin(radians), math.cos(radians)])
    points = [corner, corner + across, corner + across + down, corner + down]
    return np.stack(points).round(3).ravel().tolist()


def _near(value: float) -> float:
    nearest = round(value)
    return float(nearest) if abs(value - nearest) < 1e-6 else round(value, 6)
