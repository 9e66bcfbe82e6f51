"""labelme's JSON (X-AnyLabeling's too): one file an image, shapes with points or a small mask.

Parts of one object share label and `group_id`; a rectangle and polygons of one group are read as
the box and the mask of one object. Written is one shape for each part, so that people have one
thing to drag; a box that is not that of the mask goes along as a field. Our fields stand in the
shape, where labelme keeps what it does not know; X-AnyLabeling does for `score` and `attributes`.
"""

from __future__ import annotations

import base64
import binascii
import io
import json
import math
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from PIL import Image

from ..formats.errors import AnnotationError
from ..formats.mal_fields import QUALITY
from ..formats.rle import decode_tight
from .attributes import CONFIRMED, IMAGE_ID, id_value, own_attributes, unpack
from .builder import Builder
from .files import new_folder, picture_size, place_below, read_source, text_of
from .findings import Findings, TakenFiles
from .images import copy_image
from .objects import Thing, pictures
from .regions import encode_region
from .registry import ReadOptions, WriteOptions

_VERSION = '5.5.0'
_POLYGONS = ('polygon', 'rotation', 'oriented_rectangle', 'quadrilateral')


def read_labelme(source: Path, options: ReadOptions, findings: Findings) -> dict[str, Any]:
    """Read a folder (with its sub-folders), a zip or a file.

    Args:
        source: where the JSON files are.
        options: `img_root` says where the images are, if not beside the files.
        findings: gets points and lines, and files that cannot be used.

    Returns:
        COCO-style object; `file_name`s are relative to the folder.

    Raises:
        AnnotationError: there is no labelme file.
    """
    source = Path(source)
    builder = Builder(findings)
    findings.img_root = options.img_root or (source if source.is_dir() else source.parent)
    found = False
    for name, content in read_source(source, ('.json',)):
        try:
            data = json.loads(text_of(content, name))
        except (ValueError, RecursionError) as error:
            findings.lose('file that cannot be read', f'{name}: {error}')
            continue
        if not isinstance(data, dict) or not isinstance(data.get('shapes'), list):
            findings.note('JSON file that is not of labelme', name)
            continue
        found = True
        with findings.listing('file of an odd form', name):
            _read_file(data, name, findings.img_root, builder)
    if not found:
        raise AnnotationError(f'{source}: no labelme file in it (JSON with `shapes`)')
    return builder.data()


def _read_file(data: dict[str, Any], name: str, base: Path, builder: Builder) -> None:
    file_name = _image_name(str(data.get('imagePath') or PurePosixPath(name).stem + '.jpg'), name)
    size: list[Any] = [data.get('imageWidth'), data.get('imageHeight')]
    if not all(type(side) is int and side > 0 for side in size):
        try:
            size = list(picture_size(base / file_name))
        except (OSError, ValueError):
            size = [0, 0]
    image = builder.image(file_name, size[0], size[1], where=name)
    if image is None:
        return
    image_id = id_value(data.get(IMAGE_ID))
    if image_id is not None:
        image[IMAGE_ID] = image_id
    confirmed = (data.get('flags') or {}).get(CONFIRMED)
    for label, shapes in _objects(data['shapes'], name, builder.findings):
        with builder.findings.listing('shape of an odd form', shapes[0]['where']):
            _add(label, shapes, image, bool(confirmed), builder)


def _image_name(stated: str, name: str) -> str:
    """`imagePath` is relative to its file; here it is made relative to the folder."""
    stated = stated.replace('\\', '/')
    if stated.startswith('/') or stated[1:2] == ':':  # of another machine
        stated = stated.rsplit('/', 1)[-1]
    parts: list[str] = []
    for part in (*PurePosixPath(name).parent.parts, *stated.split('/')):
        if part == '..' and parts and parts[-1] != '..':
            parts.pop()
        elif part not in ('', '.'):
            parts.append(part)
    return '/'.join(parts)


def _objects(
    shapes: list, name: str, findings: Findings
) -> list[tuple[str, list[dict[str, Any]]]]:
    """Shapes by object: those of one label and group together."""
    groups: dict[Any, list[dict[str, Any]]] = {}
    for place, shape in enumerate(shapes):
        where = f'{name}, shape {place + 1}'
        if not isinstance(shape, dict) or not isinstance(shape.get('points'), list):
            findings.lose('shape without points', where)
            continue
        group = shape.get('group_id')
        key = ('alone', place) if group is None else (str(shape.get('label')), str(group))
        groups.setdefault(key, []).append({**shape, 'where': where})
    result = []
    for parts in groups.values():
        boxes = [p for p in parts if p.get('shape_type') == 'rectangle']
        if len(boxes) > 1:  # people group whole objects too
            result += [(str(p.get('label')), [p]) for p in parts]
        else:
            result.append((str(parts[0].get('label')), parts))
    return result


def _add(
    label: str,
    shapes: list[dict[str, Any]],
    image: dict[str, Any],
    confirmed: bool,
    builder: Builder,
) -> None:
    findings = builder.findings
    box, polygons, mask = None, [], None
    for shape in shapes:
        kind, where = shape.get('shape_type', 'polygon'), shape['where']
        try:
            points = [(float(x), float(y)) for x, y in shape['points']]
        except (TypeError, ValueError):
            findings.lose('points that are not pairs of numbers', where)
            continue
        if kind == 'rectangle' and len(points) in (2, 4):
            xs, ys = zip(*points, strict=True)
            box = (min(xs), min(ys), max(xs), max(ys))
        elif kind in _POLYGONS and len(points) >= 3:
            polygons.append([v for point in points for v in point])
        elif kind == 'circle' and len(points) == 2:
            findings.note('circle, taken as a polygon of 90 points', where)
            polygons.append(circle(points[0], math.dist(*points)))
        elif kind == 'mask' and len(points) == 2:
            mask = _mask(shape, points, image, findings)
        else:
            findings.lose(f'{kind} of {len(points)} points is neither box nor mask', where)
    first = shapes[0]
    if box is None and mask is None and not polygons:
        return
    attributes = dict(first.get('attributes') or {})
    attributes.update({k: v for k, v in first.items() if k.startswith('mal_')})
    for flag, value in (first.get('flags') or {}).items():
        if flag == CONFIRMED and value:
            attributes[CONFIRMED] = True
        elif flag != CONFIRMED:
            attributes[flag] = value
    if confirmed:
        attributes[CONFIRMED] = True
    if first.get('description'):
        attributes['description'] = first['description']
    fields = unpack(attributes)
    if first.get('difficult'):
        fields.setdefault('ignore', 1)
    if isinstance(first.get('score'), float) and first['score'] != fields.get(QUALITY):
        fields.setdefault('score', first['score'])
    builder.add(
        image,
        label,
        first['where'],
        box_xyxy=box,
        segmentation=mask if mask is not None else polygons or None,
        **fields,
    )


def circle(centre: tuple[float, float], radius: float, ratio: float = 1.0) -> list[float]:
    """A circle, or an ellipse whose upright radius is `ratio` times the other, as a polygon."""
    angles = np.arange(90) * (2 * np.pi / 90)
    ring = np.stack(
        [centre[0] + radius * np.cos(angles), centre[1] + radius * ratio * np.sin(angles)], 1
    )
    return ring.round(2).ravel().tolist()


def _mask(
    shape: dict[str, Any], points: list, image: dict[str, Any], findings: Findings
) -> dict | None:
    """The small picture in a shape, whose first pixel is at the first point."""
    try:
        content = base64.b64decode(shape.get('mask') or '', validate=True)
        with Image.open(io.BytesIO(content)) as picture:
            region = np.asarray(picture.convert('L')) > 0
        left, top = (round(v) for v in points[0])
        return encode_region(region, top, left, (image['height'], image['width']))
    except (binascii.Error, OSError, ValueError, SyntaxError) as error:
        findings.lose('mask damaged', f'{shape["where"]}: {error}')
        return None


# -------------------------------------------------------------------------------------- writing


def write_labelme(
    data: Mapping[str, Any], out: Path, options: WriteOptions, findings: Findings
) -> None:
    """Write a JSON file beside the name of each image in a new folder.

    Args:
        data: COCO-style object.
        out: the folder; `img_root`: images are copied into it, and labelme opens it as it is.
        options: `shapes` 'masks' writes labelme's masks (5.2 and later), 'polygons', the default,
            what people can edit.
        findings: gets what cannot be written.
    """
    taken = TakenFiles('a file', findings)
    with new_folder(out) as folder:
        for picture in pictures(data, findings):
            path = place_below(folder, picture.name, '.json')
            if not taken.take(path, picture.name):
                continue
            shapes: list[dict[str, Any]] = []
            for group, thing in enumerate(picture.things, start=1):
                shapes += _shapes(thing, group, options, findings)
            described = {
                'version': _VERSION,
                'flags': {CONFIRMED: False},
                'shapes': shapes,
                'imagePath': PurePosixPath(picture.name).name,
                'imageData': None,
                'imageHeight': picture.height,
                'imageWidth': picture.width,
                IMAGE_ID: picture.image.get('id'),
            }
            # JSON texts of ids tell 1 from "1"
            described[IMAGE_ID] = json.dumps(described[IMAGE_ID], ensure_ascii=False)
            path.write_text(json.dumps(described, ensure_ascii=False, indent=1), 'utf-8')
            copy_image(picture, options.img_root, folder / picture.name, findings)


def _shapes(
    thing: Thing, group: int, options: WriteOptions, findings: Findings
) -> list[dict[str, Any]]:
    own = own_attributes(thing.annotation)
    common: dict[str, Any] = {
        'label': thing.label,
        'group_id': None,
        'description': str(own.pop('description', '')),
        'flags': {},
        **thing.fields(with_box=True),
    }
    if own:
        common['attributes'] = own
    if thing.annotation.get('ignore'):
        common['difficult'] = True
    if thing.quality is not None:
        common['score'] = thing.quality
    shapes: list[dict[str, Any]] = []
    if thing.rle is not None and options.shapes == 'masks':
        columns, left, top = decode_tight(thing.rle)
        w, h = columns.shape
        buffer = io.BytesIO()
        Image.fromarray(np.ascontiguousarray(columns.T) > 0).save(buffer, format='PNG')
        shapes.append(
            {
                'shape_type': 'mask',
                'points': [[left, top], [left + w - 1, top + h - 1]],
                'mask': base64.b64encode(buffer.getvalue()).decode('ascii'),
            }
        )
    elif thing.rle is not None:
        for polygon in thing.rings(options.tolerance, findings):
            points = [list(pair) for pair in zip(polygon[::2], polygon[1::2], strict=True)]
            shapes.append({'shape_type': 'polygon', 'points': points, 'mask': None})
    elif thing.box_xyxy is not None:
        x0, y0, x1, y1 = thing.box_xyxy
        shapes.append({'shape_type': 'rectangle', 'points': [[x0, y0], [x1, y1]], 'mask': None})
    if len(shapes) > 1:
        common['group_id'] = group
    return [{**common, **shape} for shape in shapes]
