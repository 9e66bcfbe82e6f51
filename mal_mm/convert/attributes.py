"""Fields of an annotation as attributes: what other tools carry along and give back.

Fields that begin with `mal_`, and a few of COCO's, become attributes whose values are JSON texts;
the ids go along as `mal_id` and `mal_image_id`, so that a corrected file finds its way home.
Attributes that people have of their own live in `attributes`, as CVAT's COCO export has them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from .findings import Findings

ID, IMAGE_ID, ATTRIBUTES = 'mal_id', 'mal_image_id', 'attributes'
# a box goes along where a format has but one shape for an object: people's are seldom tight
BOX = 'mal_bbox'
# an image's name, where a format changes it
FILE_NAME = 'mal_file_name'
# people's tick: they have looked at the object, or at the image
CONFIRMED = 'mal_confirmed'
_CARRIED = {'iscrowd': 'mal_iscrowd', 'ignore': 'mal_ignore', 'score': 'mal_score'}
_BACK = {name: key for key, name in _CARRIED.items()}
_OWN = {'id', 'image_id', 'category_id', 'bbox', 'area', 'segmentation', ATTRIBUTES}
_IMAGE_OWN = {'id', 'file_name', 'width', 'height', 'split'}
# as JSON writes them, XML can hold these
_NOT_IN_XML = re.compile(r'[\ud800-\udfff\ufffe\uffff]')
# what is said in every COCO file without meaning anything
_SILENT = {'iscrowd': 0, 'ignore': 0}


def pack(annotation: Mapping[str, Any]) -> dict[str, str]:
    """Our fields as attributes, without people's own ones."""
    packed = {ID: _text(annotation['id'])} if 'id' in annotation else {}
    for key, value in annotation.items():
        if key in _CARRIED and _SILENT.get(key) != value:
            packed[_CARRIED[key]] = _text(value)
        elif key.startswith('mal_'):
            packed[key] = _text(value)
    return packed


def own_attributes(annotation: Mapping[str, Any]) -> dict[str, Any]:
    """The attributes that people have given an annotation."""
    own = annotation.get(ATTRIBUTES)
    return {str(key): value for key, value in own.items()} if isinstance(own, Mapping) else {}


def unpack(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """The inverse of `pack`: fields, among them `mal_id`, and `attributes` where any are left."""
    fields: dict[str, Any] = {}
    own: dict[str, Any] = {}
    for name, value in attributes.items():
        if name in _BACK:
            fields[_BACK[name]] = _value(value)
        elif str(name).startswith('mal_'):
            fields[name] = _value(value)
        else:
            own[str(name)] = value
    if own:
        fields[ATTRIBUTES] = own
    return fields


def note_fields(annotation: Mapping[str, Any], findings: Findings, carried: bool = True) -> None:
    """Say which fields of an annotation have no place in the other format."""
    for key, value in annotation.items():
        is_ours = key in _CARRIED or key.startswith('mal_') or key == ATTRIBUTES
        if key in _OWN - {ATTRIBUTES} or (is_ours and carried) or _SILENT.get(key) == value:
            continue
        findings.no_place('annotations', key, annotation.get('id'))


def note_image_fields(image: Mapping[str, Any], findings: Findings) -> None:
    """Say which fields of an image have no place in the other format."""
    for key in image:
        if key not in _IMAGE_OWN:
            findings.no_place('images', key, image.get('id'))


def id_text(value: object) -> str:
    """An id as text that tells 1 from "1"."""
    return _text(value)


def id_value(text: object) -> Any:
    """The inverse of `id_text`; None where it is no id."""
    value = _value(text)
    return value if type(value) in (int, str) else None


def _text(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return _NOT_IN_XML.sub(lambda found: f'\\u{ord(found[0]):04x}', text)


def _value(text: object) -> Any:
    if not isinstance(text, str):
        return text
    try:
        return json.loads(text)
    except ValueError:
        return {'true': True, 'false': False}.get(text.lower(), text)
