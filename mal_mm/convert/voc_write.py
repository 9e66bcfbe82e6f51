"""Writing Pascal VOC; see voc.py for how pixels and masks are counted there."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any
from xml.etree import ElementTree

import numpy as np
from PIL import Image
from pycocotools import mask as mask_utils

from ..formats.rle import decode_tight
from .attributes import IMAGE_ID, id_text, own_attributes, pack
from .files import (
    new_folder,
    place_below,
    xml_can_hold,
)
from .findings import Findings, TakenFiles
from .images import copy_image
from .objects import Picture, pictures
from .registry import WriteOptions
from .voc import MARK, MOST, VOID, palette


def write_voc(
    data: Mapping[str, Any], out: Path, options: WriteOptions, findings: Findings
) -> None:
    """Write a VOC folder with masks; `img_root`: images are copied into JPEGImages/.

    Args:
        data: COCO-style object.
        out: a new folder.
        options: see there.
        findings: gets what overlaps, what a picture of 254 numbers cannot hold, and crowds.
    """
    splits: dict[str, list[str]] = {}
    taken = TakenFiles('an XML file', findings)
    with new_folder(out) as folder:
        for picture in pictures(data, findings):
            place = PurePosixPath(picture.name)
            stem = place.with_suffix('').as_posix()
            if not xml_can_hold(picture.name):
                findings.lose('image whose name XML cannot hold', repr(picture.name))
                continue
            if not taken.take(stem, picture.name):
                continue
            things = [t for t in picture.things if _can_be_written(t, findings)]
            numbers = _draw(picture, things, findings)
            root = _annotation(picture, things, numbers)
            tree = ElementTree.ElementTree(root)
            ElementTree.indent(tree)
            xml = place_below(folder / 'Annotations', f'{stem}.xml')
            tree.write(xml, encoding='utf-8')
            if numbers is not None:
                _save(numbers, place_below(folder / 'SegmentationObject', f'{stem}.png'))
                classes = _class_numbers(numbers, things, data)
                _save(classes, place_below(folder / 'SegmentationClass', f'{stem}.png'))
            split = picture.image.get('split')
            splits.setdefault(split if split in ('val', 'test') else 'train', []).append(stem)
            to = folder / 'JPEGImages' / picture.name
            copy_image(picture, options.img_root, to, findings)
        for split, stems in splits.items():
            for kind in ('Main', 'Segmentation'):
                listed = place_below(folder / 'ImageSets' / kind, f'{split}.txt')
                listed.write_text(''.join(f'{stem}\n' for stem in stems), 'utf-8')
        _write_label_map(folder / 'labelmap.txt', data, findings)
        (folder / 'JPEGImages').mkdir(exist_ok=True)
        (folder / 'Annotations').mkdir(exist_ok=True)


def _write_label_map(path: Path, data: Mapping[str, Any], findings: Findings) -> None:
    """Names and colours as Datumaro and CVAT read them; class n of the pictures is line n."""
    labels = [str(c.get('name', c.get('id'))) for c in data.get('categories') or ()]
    for label in labels:
        if ':' in label or '\n' in label:
            findings.note('name that labelmap.txt cannot hold', label)
    colours = np.array(palette()).reshape(-1, 3)
    lines = ['# label:color_rgb:parts:actions']
    for number, label in enumerate(['background', *labels]):
        red, green, blue = colours[number % 256]
        lines.append(f'{label}:{red},{green},{blue}::')
    path.write_text('\n'.join([*lines, '']), 'utf-8')


def _can_be_written(thing: Any, findings: Findings) -> bool:
    if not xml_can_hold(thing.label):
        findings.lose('category whose name XML cannot hold', f'{thing.where}: {thing.label!r}')
        return False
    return thing.box_xyxy is not None or thing.rle is not None


def _draw(picture: Picture, things: list, findings: Findings) -> np.ndarray | None:
    """(H, W) uint8 number of each pixel's object; small objects above large ones."""
    masks = [(n, t) for n, t in enumerate(things, start=1) if t.rle is not None]
    if not masks:
        return None
    numbers = np.zeros((picture.height, picture.width), dtype=np.uint8)
    drawn = []
    for number, thing in sorted(masks, key=lambda each: -int(mask_utils.area(each[1].rle))):
        if number > MOST:
            findings.lose(f'mask beyond the {MOST} of a mask picture', thing.where)
            continue
        columns, left, top = decode_tight(thing.rle)
        w, h = columns.shape
        region = numbers[top : top + h, left : left + w]
        region[columns.T > 0] = number
        drawn.append((number, thing, int(columns.sum())))
    left_of = np.bincount(numbers.ravel(), minlength=256).tolist()
    for number, thing, area in drawn:
        lost = area - left_of[number]
        if lost:
            findings.lose(
                'mask whose pixels another mask has too; the smaller one has them',
                f'{thing.where}: {lost} of {area} pixels',
            )
    return numbers


def _annotation(picture: Picture, things: list, numbers: np.ndarray | None) -> ElementTree.Element:
    root = ElementTree.Element('annotation')

    def add(parent: ElementTree.Element, tag: str, text: object = None) -> ElementTree.Element:
        child = ElementTree.SubElement(parent, tag)
        child.text = None if text is None else str(text)
        return child

    add(root, 'folder', 'JPEGImages')
    add(root, 'filename', PurePosixPath(picture.name).name)
    add(add(root, 'source'), 'annotation', MARK)
    add(root, IMAGE_ID, id_text(picture.image.get('id')))
    size = add(root, 'size')
    for tag, value in (('width', picture.width), ('height', picture.height), ('depth', 3)):
        add(size, tag, value)
    add(root, 'segmented', int(numbers is not None))
    for thing in things:
        element = add(root, 'object')
        add(element, 'name', thing.label)
        own = own_attributes(thing.annotation)
        add(element, 'pose', own.pop('pose', 'Unspecified'))
        for flag in ('truncated', 'occluded'):
            add(element, flag, int(own.pop(flag, 0) in (1, True, '1')))
        add(element, 'difficult', int(bool(thing.annotation.get('ignore'))))
        x0, y0, x1, y1 = thing.box_xyxy or _box_of_mask(thing)
        box = add(element, 'bndbox')
        for tag, place in (('xmin', x0 + 1), ('ymin', y0 + 1), ('xmax', x1), ('ymax', y1)):
            add(box, tag, f'{place:.10g}')
        attributes = {**own, **pack(thing.annotation)}
        if attributes:
            listed = add(element, 'attributes')
            for name, value in attributes.items():
                pair = add(listed, 'attribute')
                add(pair, 'name', name)
                add(pair, 'value', value)
    return root


def _box_of_mask(thing: Any) -> tuple[float, float, float, float]:
    x, y, w, h = map(float, mask_utils.toBbox(thing.rle))
    return x, y, x + w, y + h


def _class_numbers(numbers: np.ndarray, things: list, data: Mapping[str, Any]) -> np.ndarray:
    names = [str(c.get('name', c.get('id'))) for c in data.get('categories') or ()]
    class_of = np.zeros(256, dtype=np.uint8)
    for number, thing in enumerate(things[:MOST], start=1):
        place = names.index(thing.label) + 1 if thing.label in names else VOID
        class_of[number] = place if place <= MOST else VOID
    return class_of[numbers]


def _save(numbers: np.ndarray, path: Path) -> None:
    picture = Image.fromarray(numbers)
    picture.putpalette(palette())
    picture.save(path, format='PNG')
