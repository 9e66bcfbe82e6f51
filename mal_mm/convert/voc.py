"""Pascal VOC: Annotations/NAME.xml, JPEGImages/NAME.jpg, masks in SegmentationObject/NAME.png.

Pixels are counted from 1 there, and the last one belongs to the box: xmin is x0 + 1, xmax is x1.
Some tools count from 0 (Datumaro, and with it CVAT): a 0 among the corners gives them away.
The n-th object of a file is the number n in its mask picture; 255 is nobody's. A pixel has one
object only.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any
from xml.etree import ElementTree

import numpy as np
from PIL import Image
from pycocotools import mask as mask_utils

from ..formats.errors import AnnotationError
from ..formats.paths import resolve_under
from ..formats.plain_file import read_plain_file
from ..formats.rle import rle_to_str_counts
from .attributes import IMAGE_ID, id_value, unpack
from .builder import Builder
from .files import (
    files_below,
    is_picture,
    parse_xml,
    picture_size,
    text_of,
)
from .findings import Findings
from .registry import ReadOptions

VOID, MOST = 255, 254
MARK = 'mal_mm'
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
    files = [source] if source.is_file() else files_below(folder, ('.xml',))
    if options.split is not None:
        wanted = _split_names(root, options.split)
        files = [p for p in files if p.relative_to(folder).with_suffix('').as_posix() in wanted]
    if not files:
        raise AnnotationError(f'{source}: no XML files in it; give the folder with Annotations/')
    img_root = options.img_root or (
        root / 'JPEGImages' if (root / 'JPEGImages').is_dir() else folder
    )
    findings.img_root = img_root
    builder = Builder(findings)
    elements: dict[Path, ElementTree.Element] = {}
    for path in files:
        where = path.relative_to(folder).as_posix()
        try:
            element = parse_xml(read_plain_file(path)[0], where)
            if element.tag != 'annotation':
                raise AnnotationError(f'{where}: the root is <{element.tag}>, not <annotation>')
            elements[path.relative_to(folder)] = element
        except (OSError, AnnotationError) as error:
            findings.lose('file that cannot be read', error)
    first = 1
    if any(_counts_from_zero(element) for element in elements.values()):
        first = 0
        findings.note('pixels are counted from 0 here (a corner is 0), not from 1 as in VOC')
    for place, element in elements.items():
        _read_file(element, place, img_root, root, builder, first)
    return builder.data()


def _counts_from_zero(element: ElementTree.Element) -> bool:
    if element.findtext('source/annotation') == MARK:
        return False  # a box of ours that begins beyond the edge
    corners = (element.iter('xmin'), element.iter('ymin'))
    return any(_number(corner.text) == 0 for each in corners for corner in each)


def _split_names(root: Path, split: str) -> set[str]:
    for kind in ('Segmentation', 'Main', ''):
        path = resolve_under(root / 'ImageSets', f'{kind}/{split}.txt' if kind else f'{split}.txt')
        if path.is_file():
            lines = text_of(read_plain_file(path)[0], path).splitlines()
            return {line.split('\t')[0].strip() for line in lines if line.strip()}
    raise AnnotationError(f'{root}: no ImageSets/*/{split}.txt in it; check --split')


def _read_file(
    element: ElementTree.Element,
    place: Path,
    img_root: Path,
    root: Path,
    builder: Builder,
    first: int,
) -> None:
    where = place.as_posix()
    name = _image_name(element, place, img_root)
    size: list[Any] = [_number(element.findtext(f'size/{side}')) for side in ('width', 'height')]
    if not all(size):
        try:
            size = list(picture_size(resolve_under(img_root, name)))
        except (OSError, ValueError) as error:
            builder.findings.lose('image without a size', f'{where}: {error}')
            return
    image = builder.image(name, size[0], size[1], where)
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
        for part in ('part', 'point'):
            if thing.find(part) is not None:
                builder.findings.note(f'<{part}> of an object is not taken over', here)
        box = _box(thing, first)
        segmentation: dict | list | None = _polygon(thing, first)
        if numbers is not None and number <= MOST:
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


def _polygon(thing: ElementTree.Element, first: int) -> list[list[float]] | None:
    """<polygon> with <x1>, <y1>, <x2>, ..., as Roboflow and supervision write it."""
    polygon = thing.find('polygon')
    if polygon is None:
        return None
    values: list[float] = []
    while (x := _number(polygon.findtext(f'x{len(values) // 2 + 1}'))) is not None:
        y = _number(polygon.findtext(f'y{len(values) // 2 + 1}'))
        if y is None:
            break
        values += [x - first, y - first]
    return [values] if len(values) >= 6 else None


def _box(thing: ElementTree.Element, first: int) -> tuple[float, ...] | None:
    values = [_number(thing.findtext(f'bndbox/{s}')) for s in ('xmin', 'ymin', 'xmax', 'ymax')]
    known = [value for value in values if value is not None]
    if len(known) < 4:
        return None
    x0, y0, x1, y1 = known
    return x0 - first, y0 - first, x1, y1


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
        if name := child.findtext('name'):
            attributes[name] = child.findtext('value') or ''
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
            numbers = np.asarray(picture if picture.mode in ('P', 'L') else picture.convert('RGB'))
    except (OSError, ValueError, SyntaxError) as error:
        findings.lose('mask picture that cannot be read', f'{place.with_suffix(".png")}: {error}')
        return None
    if numbers.ndim == 3:  # in VOC's colours, without their palette
        colours = np.array(palette(), dtype=np.int64).reshape(-1, 3) @ (1, 256, 256**2)
        order = np.argsort(colours)
        found = np.searchsorted(colours, numbers.astype(np.int64) @ (1, 256, 256**2), sorter=order)
        numbers = order[found.clip(0, 255)].astype(np.uint8)
    if numbers.shape[::-1] != tuple(map(int, size_wh)):
        findings.lose(
            'mask picture of another size than its image', str(place.with_suffix('.png'))
        )
        return None
    return numbers


@cache
def palette() -> tuple[int, ...]:
    """VOC's colours: the bits of a number, spread over red, green and blue from the top."""
    colours = []
    for number in range(256):
        rgb = [0, 0, 0]
        for bit in range(8):
            for channel in range(3):
                rgb[channel] |= (number >> channel & 1) << (7 - bit)
            number >>= 3
        colours += rgb
    return tuple(colours)
