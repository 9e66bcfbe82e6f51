"""A COCO-style file as writers want it: image by image, each object with box, mask and name."""

from __future__ import annotations

import json
import math
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from pycocotools import mask as mask_utils

from ..formats.boxes import box_problem
from ..formats.coco import index_categories, index_images
from ..formats.errors import AnnotationError
from ..formats.image_size import stated_size
from ..formats.mal_fields import quality_of
from ..formats.paths import image_file_name, resolve_under
from ..formats.polygons import Piece, keyhole, polygon_iou, tight_box, trace_well
from ..formats.rle import segmentation_to_rle
from .attributes import BOX, note_fields, note_image_fields, pack
from .findings import Findings


@dataclass
class Thing:
    """An object.

    Attributes:
        annotation: its record.
        label: name of its category.
        box_xyxy: image pixels; None where the record has no usable box.
        rle: its mask, of the image's size; None where it has none.
        where: what to call it in findings.
    """

    annotation: dict[str, Any]
    label: str
    box_xyxy: tuple[float, float, float, float] | None
    rle: dict[str, Any] | None
    where: str

    @property
    def polygons(self) -> list[list[float]] | None:
        """The polygons of the record, where its mask is given so."""
        given = self.annotation.get('segmentation')
        return [p for p in given if len(p) >= 6] if isinstance(given, list) and self.rle else None

    @property
    def quality(self) -> float | None:
        """Quality of a labeler's mask; None where a labeler did not draw it."""
        quality = quality_of(self.annotation)
        return None if math.isnan(quality) else quality

    @property
    def is_crowd(self) -> bool:
        """Whether it stands for many."""
        return bool(self.annotation.get('iscrowd'))

    def rings(self, tolerance: float, findings: Findings) -> list[list[float]]:
        """The mask as polygons, one for each piece, holes cut in; notes what that costs.

        Polygons of the record are taken as they are.
        """
        if self.polygons:
            return self.polygons
        return self._measured(trace_well(self.rle, tolerance) if self.rle else [], findings)

    def _measured(self, pieces: list[Piece], findings: Findings) -> list[list[float]]:
        polygons = [keyhole(piece).round(2).ravel().tolist() for piece in pieces]
        if polygons and self.rle is not None:
            findings.polygon_ious.append((polygon_iou(polygons, self.rle), self.where))
        return polygons

    def fields(self, with_box: bool = False) -> dict[str, Any]:
        """Our fields as attributes; the box too, where it is not that of the mask."""
        packed = pack(self.annotation)
        if with_box and self.rle and self.box_xyxy and self.is_loose:
            packed[BOX] = json.dumps(self.annotation['bbox'])
        return packed

    @property
    def is_loose(self) -> bool:
        """Whether the box is another than that of the mask."""
        if self.rle is None:
            return False
        x, y, w, h = tight_box(self.rle)
        return self.box_xyxy != (x, y, x + w, y + h)


@dataclass
class Picture:
    """An image with its objects.

    Attributes:
        image: its record.
        name: of its file, relative to the image folder, with / between folders.
        width: in pixels.
        height: in pixels.
        things: its objects in file order.
    """

    image: dict[str, Any]
    name: str
    width: int
    height: int
    things: list[Thing] = field(default_factory=list)


def check_categories(data: Mapping[str, Any], path: str = 'annotations') -> None:
    """Raises AnnotationError where categories cannot be told apart by their ids."""
    if data.get('categories'):
        index_categories(data, path)


def category_names(data: Mapping[str, Any], findings: Findings) -> dict[Hashable, str]:
    """Category id -> name; two of one name become one, which is said.

    Raises:
        AnnotationError: categories cannot be told apart by their ids.
    """
    check_categories(data)
    names: dict[Hashable, str] = {}
    seen: dict[str, Any] = {}
    for category in data.get('categories') or ():
        number = category['id']
        name = str(category.get('name', number))
        if name in seen:
            findings.lose(
                'categories of one name become one', f'{seen[name]!r} and {number!r}: {name}'
            )
        seen.setdefault(name, number)
        names[number] = name
    return names


def pictures(
    data: Mapping[str, Any],
    findings: Findings,
    path: str = 'annotations',
    carries_fields: bool = True,
) -> Iterator[Picture]:
    """Go through a COCO-style file; what cannot be used is listed.

    Args:
        data: what `read_coco` gives.
        findings: gets what is left out.
        path: the file's name, for errors.
        carries_fields: the format has a place for attributes.

    Raises:
        AnnotationError: images cannot be told apart by their ids.
    """
    images = index_images(data, path)
    names = category_names(data, findings)
    of_image: dict[Hashable, list[dict[str, Any]]] = {}
    for annotation in data['annotations']:
        image_id = annotation.get('image_id')
        if not isinstance(image_id, Hashable) or image_id not in images:
            findings.lose('annotation of an unknown image', _name(annotation))
            continue
        of_image.setdefault(image_id, []).append(annotation)
    for image_id, image in images.items():
        annotations = of_image.get(image_id, [])
        name, (width, height) = image_file_name(image), stated_size(image)
        try:
            resolve_under('.', name)
            if width is None or height is None:
                raise ValueError('its record has no width and height in pixels')
        except ValueError as error:
            findings.lose('image left out', f'image {image_id!r}: {error}')
            for annotation in annotations:
                findings.lose('annotation of an image left out', _name(annotation))
            continue
        note_image_fields(image, findings)
        picture = Picture(image, _with_slashes(name, findings), width, height)
        for annotation in annotations:
            note_fields(annotation, findings, carries_fields)
            picture.things.append(_thing(annotation, image, width, height, names, findings))
        yield picture


def _thing(
    annotation: dict[str, Any],
    image: dict[str, Any],
    width: int,
    height: int,
    names: Mapping[Hashable, str],
    findings: Findings,
) -> Thing:
    where = _name(annotation)
    number = annotation.get('category_id')
    label = names.get(number) if isinstance(number, Hashable) else None
    if label is None:
        label = str(number)
        if names:
            findings.note('unknown category, its id becomes its name', f'{where}: {number!r}')
    rle = None
    try:
        rle = segmentation_to_rle(annotation.get('segmentation'), height, width)
        if rle is not None and not int(mask_utils.area(rle)):
            rle = None
    except AnnotationError as error:
        findings.lose('mask damaged', f'{where}: {error}')
    box = None
    if box_problem({**annotation, 'image_id': 0}, {0: image}) is None:
        x, y, w, h = annotation['bbox']
        box = (float(x), float(y), float(x + w), float(y + h))
    elif rle is None:
        findings.lose('neither a usable box nor a mask', where)
    return Thing(annotation, label, box, rle, where)


def _with_slashes(name: str, findings: Findings) -> str:
    if '\\' not in name:
        return name
    findings.note('backslash in a file name, taken to part folders', name)
    return '/'.join(part for part in name.replace('\\', '/').split('/') if part)


def _name(annotation: Mapping[str, Any]) -> str:
    return f'annotation {annotation.get("id")!r}'
