"""Pascal VOC: Annotations/NAME.xml, JPEGImages/NAME.jpg, masks in SegmentationObject/NAME.png.

Pixels are counted from 1 there, and the last one belongs to the box: xmin is x0 + 1, xmax is x1.
The n-th object of a file is the number n in its mask picture; 255 is nobody's. A pixel has one
object only.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any
from xml.etree import ElementTree

import numpy as np
from PIL import Image
from pycocotools import mask as mask_utils

from ..formats.atomic import atomic_write
from ..formats.errors import AnnotationError
from ..formats.paths import resolve_under
from ..formats.plain_file import read_plain_file
from ..formats.rle import rle_to_str_counts
from .attributes import IMAGE_ID, id_text, id_value, own_attributes, pack, unpack
from .builder import Builder
from .files import (
    is_picture,
    new_folder,
    parse_xml,
    picture_size,
    place_below,
    text_of,
    xml_can_hold,
)
from .findings import Findings
from .images import copy_image
from .objects import Picture, pictures
from .registry import ReadOptions, WriteOptions

_VOID, _MOST = 255, 254
_FLAGS = ('difficult', 'truncated', 'occluded')
_OWN = {'name', 'bndbox', 'part', 'polygon', 'pose', 'attributes', *_FLAGS}


def read_voc(source: Path, options: ReadOptions, findings: Findings) -> dict[str, Any]:
    """Read a VOC folder, a folder of XML files, or one XML file.

    Args:
        source: the folder with Annotations/ in it, any folder of XML files, or a file.
        options: `split` takes the names in ImageSets/*/SPLIT.txt; `img_root` says where the
            images are if not in JPEGImages/ or beside the files.
        findings: gets wrong files and objects, and parts and points, which have no place.

    Returns:
        COCO-style object; `file_name`s are relative to the image folder. `difficult` objects have
        `ignore` 1, which MMDetection leaves out of training.

    Raises:
        AnnotationError: there are no XML files.
    """
    source = Path(source)
    root = source.parent if source.is_file() else source
    folder = root / 'Annotations' if (root / 'Annotations').is_dir() else root
    files = [source] if source.is_file() else sorted(folder.rglob('*.xml'))
    if options.split is not None:
        wanted = _split_names(root, options.split)
        files = [p for p in files if p.relative_to(folder).with_suffix('').as_posix() in wanted]
    if not files:
        raise AnnotationError(f'{source}: no XML files in it; give the folder with Annotations/')
    img_root = options.img_root or (
        root / 'JPEGImages' if (root / 'JPEGImages').is_dir() else folder
    )
    builder = Builder(findings)
    for path in files:
        where = path.relative_to(folder).as_posix()
        try:
            element = parse_xml(read_plain_file(path)[0], where)
            if element.tag != 'annotation':
                raise AnnotationError(f'{where}: the root is <{element.tag}>, not <annotation>')
            _read_file(element, path.relative_to(folder), img_root, root, builder)
        except (OSError, AnnotationError) as error:
            findings.lose('file that cannot be read', error)
    return builder.data()


def _split_names(root: Path, split: str) -> set[str]:
    for kind in ('Segmentation', 'Main', ''):
        path = resolve_under(root / 'ImageSets', f'{kind}/{split}.txt' if kind else f'{split}.txt')
        if path.is_file():
            lines = text_of(read_plain_file(path)[0], path).splitlines()
            return {line.split('\t')[0].strip() for line in lines if line.strip()}
    raise AnnotationError(f'{root}: no ImageSets/*/{split}.txt in it; check --split')


def _read_file(
    element: ElementTree.Element, place: Path, img_root: Path, root: Path, builder: Builder
) -> None:
    where = place.as_posix()
    name = _image_name(element, place, img_root)
    size = [_number(element.findtext(f'size/{side}')) for side in ('width', 'height')]
    if not all(size):
        try:
            size = list(picture_size(resolve_under(img_root, name)))
        except (OSError, ValueError) as error:
            builder.findings.lose('image without a size', f'{where}: {error}')
            return
    image = builder.image(name, *size, where)
    if image is None:
        return
    image_id = id_value(element.findtext(IMAGE_ID))
    if image_id is not None:
        image[IMAGE_ID] = image_id
    numbers = _mask_numbers(root, place, size, builder.findings)
    for number, thing in enumerate(element.iter('object'), start=1):
        label = thing.findtext('name')
        here = f'{where}, object {number}'
        if label is None:
            builder.findings.lose('object without a name', here)
            continue
        for part in ('part', 'polygon', 'point'):
            if thing.find(part) is not None:
                builder.findings.note(f'<{part}> of an object is not taken over', here)
        box = _box(thing)
        segmentation = None
        if numbers is not None and number <= _MOST:
            mask = numbers == number
            if mask.any():
                segmentation = rle_to_str_counts(mask_utils.encode(np.asfortranarray(mask)))
        builder.add(image, label, here, box_xyxy=box, segmentation=segmentation, **_fields(thing))


def _image_name(element: ElementTree.Element, place: Path, img_root: Path) -> str:
    stated = (element.findtext('filename') or '').replace('\\', '/').rsplit('/', 1)[-1]
    suffix = PurePosixPath(stated).suffix if is_picture(stated) else '.jpg'
    beside = place.with_name(place.stem + suffix).as_posix()
    # of files that were renamed, the XML's own name is right as often as the one in it
    if stated and stated != PurePosixPath(beside).name and not (img_root / beside).is_file():
        return place.with_name(stated).as_posix()
    return beside


def _box(thing: ElementTree.Element) -> tuple[float, ...] | None:
    values = [_number(thing.findtext(f'bndbox/{s}')) for s in ('xmin', 'ymin', 'xmax', 'ymax')]
    if any(value is None for value in values):
        return None
    x0, y0, x1, y1 = values
    return x0 - 1, y0 - 1, x1, y1


def _number(text: str | None) -> float | None:
    try:
        return float(text) if text is not None else None
    except ValueError:
        return None


def _fields(thing: ElementTree.Element) -> dict[str, Any]:
    attributes: dict[str, Any] = {}
    for child in thing:
        if child.tag not in _OWN and len(child) == 0 and child.text:
            attributes[child.tag] = child.text
    for child in thing.iter('attribute'):  # as CVAT and Datumaro write them
        if child.findtext('name'):
            attributes[child.findtext('name')] = child.findtext('value') or ''
    for flag in ('truncated', 'occluded'):
        if thing.findtext(flag) == '1':
            attributes[flag] = 1
    if thing.findtext('pose') not in (None, '', 'Unspecified'):
        attributes['pose'] = thing.findtext('pose')
    fields = unpack(attributes)
    if thing.findtext('difficult') == '1':
        fields.setdefault('ignore', 1)
    return fields


def _mask_numbers(
    root: Path, place: Path, size_wh: list[float], findings: Findings
) -> np.ndarray | None:
    path = root / 'SegmentationObject' / place.with_suffix('.png')
    if not path.is_file():
        return None
    try:
        with Image.open(path) as picture:
            numbers = np.asarray(picture if picture.mode in ('P', 'L') else picture.convert('L'))
    except (OSError, ValueError, SyntaxError) as error:
        findings.lose('mask picture that cannot be read', f'{place.with_suffix(".png")}: {error}')
        return None
    if numbers.shape[::-1] != tuple(map(int, size_wh)):
        findings.lose(
            'mask picture of another size than its image', str(place.with_suffix('.png'))
        )
        return None
    return numbers


# -------------------------------------------------------------------------------------- writing


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
    used: dict[str, str] = {}
    with new_folder(out) as folder:
        for picture in pictures(data, findings):
            place = PurePosixPath(picture.name)
            stem = place.with_suffix('').as_posix()
            if not xml_can_hold(picture.name):
                findings.lose('image whose name XML cannot hold', repr(picture.name))
                continue
            if stem.casefold() in used:
                findings.lose(
                    'images whose names differ in their endings alone share an XML file',
                    f'{picture.name} and {used[stem.casefold()]}',
                )
                continue
            used[stem.casefold()] = picture.name
            things = [t for t in picture.things if _can_be_written(t, findings)]
            numbers = _draw(picture, things, findings)
            root = _annotation(picture, things, numbers)
            tree = ElementTree.ElementTree(root)
            ElementTree.indent(tree)
            xml = place_below(folder / 'Annotations', f'{stem}.xml')
            with atomic_write(xml, 'wb') as file:
                tree.write(file, encoding='utf-8')
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
                with atomic_write(place_below(folder / 'ImageSets' / kind, f'{split}.txt')) as f:
                    f.writelines(f'{stem}\n' for stem in stems)
        labels = [str(c.get('name', c.get('id'))) for c in data.get('categories') or ()]
        with atomic_write(folder / 'labelmap.txt') as file:  # class n of the pictures is line n
            file.writelines(f'{label}\n' for label in ('background', *labels))
        (folder / 'JPEGImages').mkdir(exist_ok=True)
        (folder / 'Annotations').mkdir(exist_ok=True)


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
        if number > _MOST:
            findings.lose(f'mask beyond the {_MOST} of a mask picture', thing.where)
            continue
        mask = mask_utils.decode(thing.rle).astype(bool)
        numbers[mask] = number
        drawn.append((number, thing, int(mask.sum())))
    for number, thing, area in drawn:
        left = int((numbers == number).sum())
        if left < area:
            findings.lose(
                'mask whose pixels another mask has too; the smaller one has them',
                f'{thing.where}: {area - left} of {area} pixels',
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
        for tag, value in (('xmin', x0 + 1), ('ymin', y0 + 1), ('xmax', x1), ('ymax', y1)):
            add(box, tag, f'{value:.10g}')
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
    classes = np.zeros_like(numbers)
    for number, thing in enumerate(things[:_MOST], start=1):
        place = names.index(thing.label) + 1 if thing.label in names else _VOID
        classes[numbers == number] = place if place <= _MOST else _VOID
    return classes


def _save(numbers: np.ndarray, path: Path) -> None:
    picture = Image.fromarray(numbers)
    picture.putpalette(_palette())
    with atomic_write(path, 'wb') as file:
        picture.save(file, format='PNG')


def _palette() -> list[int]:
    """VOC's colours: the bits of a number, spread over red, green and blue from the top."""
    colours = []
    for number in range(256):
        rgb = [0, 0, 0]
        for bit in range(8):
            for channel in range(3):
                rgb[channel] |= (number >> channel & 1) << (7 - bit)
            number >>= 3
        colours += rgb
    return colours
