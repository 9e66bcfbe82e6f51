"""CVAT for images 1.1: one XML file, or the zip that CVAT gives, with shapes of each image.

CVAT groups shapes by `group_id`: a box, a mask and polygons of one label and group are one object
here. Masks are run lengths along the rows of a small box.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np

from ..formats.errors import AnnotationError
from .attributes import CONFIRMED, IMAGE_ID, id_value, unpack
from .builder import Builder
from .files import parse_xml, read_source
from .findings import Findings
from .labelme import circle
from .regions import encode_region
from .registry import ReadOptions

# what every shape says, without a meaning for us
_SILENT = {'occluded': '0', 'z_order': '0', 'source': None, 'group_id': None}


def read_cvat(source: Path, options: ReadOptions, findings: Findings) -> dict[str, Any]:
    """Read `annotations.xml`, or the zip it comes in.

    Args:
        source: the file, zip or folder.
        options: `split` takes the images of one subset of a project.
        findings: gets points, lines and cuboids, which have no place, and turned boxes, which
            become polygons.

    Returns:
        COCO-style object. `occluded` and people's attributes are in `attributes`.

    Raises:
        AnnotationError: it is no such file, or a video's.
    """
    source = Path(source)
    builder = Builder(findings)
    for name, content in read_source(source, ('.xml',)):
        root = parse_xml(content, f'{source.name}/{name}' if name != source.name else name)
        if root.tag != 'annotations':
            raise AnnotationError(
                f"{source}: the root is <{root.tag}>, not <annotations>; export as 'CVAT for "
                "images 1.1'"
            )
        if root.find('track') is not None:
            raise AnnotationError(
                f"{source}: has tracks of a video; export as 'CVAT for images 1.1', which has "
                'every frame by itself'
            )
        for label in root.findall('meta//labels/label'):
            if label.findtext('name') is not None:
                builder.category(label.findtext('name'))
        for element in root.findall('image'):
            if options.split is None or element.get('subset') == options.split:
                with findings.listing('image of an odd form', f'image {element.get("id")}'):
                    _read_image(element, builder)
    return builder.data()


def _read_image(element: ElementTree.Element, builder: Builder) -> None:
    name = element.get('name') or ''
    width, height = (_whole(element.get(side)) for side in ('width', 'height'))
    fields = {'split': element.get('subset')} if element.get('subset') else {}
    image = builder.image(name, width, height, f'image {element.get("id")}', **fields)
    if image is None:
        return
    groups: dict[Any, list[tuple[ElementTree.Element, str]]] = {}
    for place, shape in enumerate(element, start=1):
        where = f'{name}, {shape.tag} {place}'
        if shape.tag == 'tag':
            builder.findings.lose('tag of a whole image', f'{where}: {shape.get("label")}')
            continue
        if shape.tag not in ('box', 'polygon', 'mask', 'ellipse'):
            builder.findings.lose(f'{shape.tag} is neither box nor mask', where)
            continue
        group = shape.get('group_id') or '0'
        key = ('alone', place) if group == '0' else (shape.get('label'), group)
        groups.setdefault(key, []).append((shape, where))
    for parts in groups.values():
        single = sum(shape.tag == 'box' for shape, _ in parts) <= 1
        single &= sum(shape.tag == 'mask' for shape, _ in parts) <= 1
        for each in [parts] if single else [[part] for part in parts]:
            _add(each, image, builder)


def _add(
    parts: list[tuple[ElementTree.Element, str]],
    image: dict[str, Any],
    builder: Builder,
) -> None:
    findings = builder.findings
    box, polygons, mask = None, [], None
    for shape, where in parts:
        try:
            if shape.tag == 'box':
                corners = [float(shape.attrib[k]) for k in ('xtl', 'ytl', 'xbr', 'ybr')]
                turn = float(shape.get('rotation') or 0)
                if turn % 360:
                    findings.note('turned box, taken as a polygon of its corners', where)
                    polygons.append(turned(corners, turn))
                else:
                    box = corners
            elif shape.tag == 'polygon':
                points = [pair.split(',') for pair in shape.attrib['points'].split(';')]
                polygons.append([float(v) for x, y in points for v in (x, y)])
            elif shape.tag == 'ellipse':
                findings.note('ellipse, taken as a polygon of 90 points', where)
                cx, cy, rx, ry = (float(shape.attrib[k]) for k in ('cx', 'cy', 'rx', 'ry'))
                ring = circle((cx, cy), rx, ry / rx)
                turn = math.radians(float(shape.get('rotation') or 0))
                polygons.append(_turned_points(ring, (cx, cy), turn))
            else:
                mask = _mask(shape, image)
        except (TypeError, ValueError, ZeroDivisionError, AttributeError) as error:
            findings.lose(f'{shape.tag} damaged', f'{where}: {error}')
    if box is None and mask is None and not polygons:
        return
    first, where = parts[0]
    attributes = {name: value for part, _ in parts for name, value in _attributes(part).items()}
    if first.get('occluded') == '1':
        attributes['occluded'] = 1
    image_id = id_value(attributes.pop(IMAGE_ID, None))
    if image_id is not None:
        image[IMAGE_ID] = image_id
    if attributes.get(CONFIRMED) == 'false':
        del attributes[CONFIRMED]
    builder.add(
        image,
        first.get('label'),
        where,
        box_xyxy=box,
        segmentation=mask if mask is not None else polygons or None,
        **unpack(attributes),
    )


def turned(corners: list[float], degrees: float) -> list[float]:
    """Corners of a box x0, y0, x1, y1 that is turned clockwise round its middle, as a polygon."""
    x0, y0, x1, y1 = corners
    return _turned_points(
        [x0, y0, x1, y0, x1, y1, x0, y1], ((x0 + x1) / 2, (y0 + y1) / 2), math.radians(degrees)
    )


def _turned_points(
    polygon: list[float], centre: tuple[float, float], radians: float
) -> list[float]:
    points = np.asarray(polygon).reshape(-1, 2) - centre
    sine, cosine = math.sin(radians), math.cos(radians)
    return (points @ [[cosine, sine], [-sine, cosine]] + centre).round(3).ravel().tolist()


def _mask(shape: ElementTree.Element, image: dict[str, Any]) -> dict[str, Any]:
    runs = np.array([int(run) for run in shape.attrib['rle'].split(',')], dtype=np.int64)
    width, height, left, top = (int(shape.attrib[k]) for k in ('width', 'height', 'left', 'top'))
    if width <= 0 or height <= 0 or width * height >= 2**32 or (runs < 0).any():
        raise ValueError(f'a mask of {width} x {height} pixels')
    if runs.sum() != width * height:
        raise ValueError(f'its runs cover {runs.sum()} pixels, not {width} x {height}')
    region = np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(height, width)
    return encode_region(region, top, left, (image['height'], image['width']))


def _attributes(shape: ElementTree.Element) -> dict[str, Any]:
    return {a.get('name') or '': a.text or '' for a in shape.findall('attribute')}


def _whole(text: str | None) -> int:
    return int(text) if text is not None and text.isdigit() else 0
