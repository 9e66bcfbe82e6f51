"""Writing CVAT for images 1.1: XML to upload, and the labels of the task."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np

from ..formats.atomic import atomic_write
from ..formats.rle import decode_tight
from .attributes import CONFIRMED, IMAGE_ID, id_text, own_attributes
from .files import xml_can_hold
from .findings import Findings
from .objects import Thing, category_names, pictures
from .registry import WriteOptions


def write_cvat(
    data: Mapping[str, Any], out: Path, options: WriteOptions, findings: Findings
) -> None:
    """Write `annotations.xml`, to be uploaded as 'CVAT 1.1', and its labels beside it.

    CVAT takes attributes that its labels have: paste OUT's `.labels.json` into the label editor
    (Raw) when the task is made. Objects come back with their ids then.

    Args:
        data: COCO-style object.
        out: the XML file.
        options: `shapes` 'polygons' writes polygons that people can drag; masks, the default, lose
            nothing.
        findings: gets what cannot be written.
    """
    names = list(dict.fromkeys(category_names(data, findings).values()))
    root = ElementTree.Element('annotations')
    ElementTree.SubElement(root, 'version').text = '1.1'
    meta = ElementTree.SubElement(root, 'meta')
    attribute_names: dict[str, dict[str, None]] = {}
    for picture in pictures(data, findings):
        if not xml_can_hold(picture.name):
            findings.lose('image whose name XML cannot hold', repr(picture.name))
            continue
        element = ElementTree.SubElement(
            root,
            'image',
            id=str(len(root) - 2),
            name=picture.name,
            width=str(picture.width),
            height=str(picture.height),
        )
        if isinstance(picture.image.get('split'), str):
            element.set('subset', picture.image['split'])
        image_id = id_text(picture.image.get('id'))
        for group, thing in enumerate(picture.things, start=1):
            if not xml_can_hold(thing.label):
                findings.lose(
                    'category whose name XML cannot hold', f'{thing.where}: {thing.label!r}'
                )
                continue
            if thing.label not in names:
                names.append(thing.label)
            own = own_attributes(thing.annotation)
            occluded = own.pop('occluded', 0) in (1, True, '1')
            attributes = {**own, **thing.fields(with_box=True), CONFIRMED: 'false'}
            attributes[IMAGE_ID] = image_id
            if thing.annotation.get(CONFIRMED):
                attributes[CONFIRMED] = 'true'
            attribute_names.setdefault(thing.label, {}).update(dict.fromkeys(attributes))
            shapes = _shapes(thing, options, findings)
            for shape in shapes:
                shape.set('label', thing.label)
                shape.set('occluded', str(int(occluded)))
                shape.set('source', 'auto')
                shape.set('z_order', '0')
                if len(shapes) > 1:  # parts of one object
                    shape.set('group_id', str(group))
                _put(shape, attributes, thing.where, findings)
                element.append(shape)
    _put_labels(meta, names, attribute_names)
    tree = ElementTree.ElementTree(root)
    ElementTree.indent(tree)
    with atomic_write(out, 'wb') as file:
        tree.write(file, encoding='utf-8', xml_declaration=True)
    _write_labels(out, names, attribute_names)


def _put(
    shape: ElementTree.Element, attributes: Mapping[str, Any], where: str, findings: Findings
) -> None:
    for name, value in attributes.items():
        text = str(value)
        if not xml_can_hold(text) or not xml_can_hold(name):
            findings.lose('attribute that XML cannot hold', f'{where}: {name!r}')
            continue
        ElementTree.SubElement(shape, 'attribute', name=name).text = text


def _shapes(thing: Thing, options: WriteOptions, findings: Findings) -> list[ElementTree.Element]:
    shapes = []
    if thing.rle is not None and options.shapes == 'polygons':
        for polygon in thing.rings(options.tolerance, findings):
            pairs = zip(polygon[::2], polygon[1::2], strict=True)
            points = ';'.join(f'{x:.10g},{y:.10g}' for x, y in pairs)
            shapes.append(ElementTree.Element('polygon', points=points))
    elif thing.rle is not None:
        columns, left, top = decode_tight(thing.rle)
        w, h = columns.shape
        rows = np.concatenate([[0], columns.T.ravel(), [2]])
        starts = np.flatnonzero(np.diff(rows))
        runs = np.diff(starts, prepend=0)
        if starts[0] == 0 and rows[1] == 1:
            runs = np.concatenate([[0], runs[1:]])
        shapes.append(
            ElementTree.Element(
                'mask',
                rle=', '.join(map(str, runs.tolist())),
                left=str(left),
                top=str(top),
                width=str(w),
                height=str(h),
            )
        )
    elif thing.box_xyxy is not None:
        keys = ('xtl', 'ytl', 'xbr', 'ybr')
        values = (f'{v:.10g}' for v in thing.box_xyxy)
        shapes.append(ElementTree.Element('box', dict(zip(keys, values, strict=True))))
    return shapes


def _put_labels(
    meta: ElementTree.Element, names: list[str], attributes: Mapping[str, Mapping[str, None]]
) -> None:
    labels = ElementTree.SubElement(ElementTree.SubElement(meta, 'task'), 'labels')
    for described in _labels(names, attributes):
        label = ElementTree.SubElement(labels, 'label')
        ElementTree.SubElement(label, 'name').text = described['name']
        listed = ElementTree.SubElement(label, 'attributes')
        for attribute in described['attributes']:
            element = ElementTree.SubElement(listed, 'attribute')
            for key, value in attribute.items():
                text = '\n'.join(value) if isinstance(value, list) else str(value)
                ElementTree.SubElement(element, key).text = text


def _labels(
    names: list[str], attributes: Mapping[str, Mapping[str, None]]
) -> list[dict[str, Any]]:
    """Labels as CVAT's raw label editor takes them."""

    def attribute(name: str) -> dict[str, Any]:
        is_check = name == CONFIRMED
        return {
            'name': name,
            'mutable': False,
            'input_type': 'checkbox' if is_check else 'text',
            'default_value': 'false' if is_check else '',
            'values': ['false'] if is_check else [''],
        }

    return [
        {'name': name, 'attributes': [attribute(each) for each in attributes.get(name, {})]}
        for name in names
        if xml_can_hold(name)
    ]


def _write_labels(
    out: Path, names: list[str], attributes: Mapping[str, Mapping[str, None]]
) -> None:
    import json

    with atomic_write(out.with_suffix('.labels.json')) as file:
        json.dump(_labels(names, attributes), file, ensure_ascii=False, indent=1)
