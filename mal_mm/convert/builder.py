"""Building a COCO-style file: ids, categories by name, and what may be a box or a mask."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

from pycocotools import mask as mask_utils

from ..formats.errors import AnnotationError, shorten
from ..formats.paths import resolve_under
from ..formats.polygons import tight_box
from ..formats.rle import rle_to_str_counts, segmentation_to_rle
from .attributes import BOX, ID, IMAGE_ID
from .findings import Findings


class Builder:
    """Collects what a reader finds; what cannot be used is listed, not raised.

    Args:
        findings: gets what is not expressed.
        names: of categories that are known beforehand, in order.
    """

    def __init__(self, findings: Findings, names: Sequence[str] = ()) -> None:
        self.findings = findings
        self.images: list[dict[str, Any]] = []
        self.annotations: list[dict[str, Any]] = []
        self.categories: dict[str, int] = {}
        self._names: set[str] = set()
        self._brought: set[Hashable] = set()
        for name in names:
            self.category(name)

    def category(self, name: object) -> int:
        """Id of a category, new where its name is."""
        return self.categories.setdefault(str(name), len(self.categories) + 1)

    def image(
        self, file_name: object, width: int, height: int, where: str = '', **fields: Any
    ) -> dict[str, Any] | None:
        """Add an image; None where its name leaves its folder, is taken, or it has no size."""
        try:
            resolve_under('.', file_name)  # type: ignore[arg-type]
        except ValueError as error:
            self.findings.lose('image left out', f'{where or shorten(file_name)}: {error}')
            return None
        if file_name in self._names:
            self.findings.lose('image given twice', f'{where} {file_name}'.strip())
            return None
        if not (width > 0 and height > 0):
            self.findings.lose('image without a size', f'{where} {file_name}'.strip())
            return None
        self._names.add(str(file_name))
        image = dict(
            id=len(self.images) + 1,
            file_name=file_name,
            width=int(width),
            height=int(height),
            **fields,
        )
        self.images.append(image)
        return image

    def add(
        self,
        image: Mapping[str, Any],
        label: object,
        where: str,
        *,
        box_xyxy: Sequence[float] | None = None,
        segmentation: dict | list | None = None,
        **fields: Any,
    ) -> None:
        """Add an object.

        Args:
            image: what `image` gave.
            label: name of its category.
            where: file and line, for the findings.
            box_xyxy: image pixels; None: the box of the mask.
            segmentation: RLE or COCO polygons.
            fields: see `attributes.unpack`.
        """
        box = None
        if box_xyxy is not None:
            x0, y0, x1, y1 = map(float, box_xyxy)
            if not all(map(math.isfinite, (x0, y0, x1, y1))) or x1 <= x0 or y1 <= y0:
                self.findings.lose('box without extent', f'{where}: {[x0, y0, x1, y1]}')
                if segmentation is None:
                    return
            else:
                box = [x0, y0, x1 - x0, y1 - y0]
        annotation: dict[str, Any] = dict(
            id=len(self.annotations) + 1, image_id=image['id'], category_id=self.category(label)
        )
        if segmentation is not None:
            try:
                rle = segmentation_to_rle(segmentation, image['height'], image['width'])
            except AnnotationError as error:
                rle = None
                self.findings.lose('mask damaged', f'{where}: {error}')
            area = 0 if rle is None else int(mask_utils.area(rle))
            if rle is not None and area:
                if isinstance(segmentation, dict):
                    segmentation = rle_to_str_counts(rle)
                annotation.update(segmentation=segmentation, area=area)
                box = box or carried_box(fields.get(BOX), tight_box(rle))
            elif rle is not None:
                self.findings.lose('mask without a pixel', where)
        if box is None:
            self.findings.lose('neither box nor mask', where)
            return
        annotation.setdefault('area', box[2] * box[3])
        annotation.update(bbox=box, iscrowd=0)
        annotation.update({key: value for key, value in fields.items() if key != BOX})
        self.annotations.append(annotation)

    def data(self, **head: Any) -> dict[str, Any]:
        """The COCO-style object; ids that our files gave away are back."""
        image_ids = self._restore(self.images, IMAGE_ID)
        self._restore(self.annotations, ID)
        self.findings.known_ids |= self._brought
        for annotation in self.annotations:
            annotation['image_id'] = image_ids[annotation['image_id']]
        return dict(
            **head,
            images=self.images,
            annotations=self.annotations,
            categories=[dict(id=number, name=name) for name, number in self.categories.items()],
        )

    def _restore(self, records: list[dict[str, Any]], key: str) -> dict[int, Hashable]:
        """Set each record's id to the one it brought; the others get numbers that are free."""
        brought: dict[int, Hashable] = {}
        taken: set[Hashable] = set()
        for record in records:
            value = record.pop(key, None)
            if type(value) not in (int, str):
                continue
            if value in taken:  # an object that somebody has copied
                self.findings.note('id given twice, the later one gets a new id', repr(value))
                continue
            taken.add(value)
            brought[record['id']] = value
        self._brought = taken.copy()
        ids: dict[int, Hashable] = {}
        free = 1
        for record in records:
            number = record['id']
            if number not in brought:
                while free in taken:
                    free += 1
                brought[number] = free
                free += 1
            record['id'] = ids[number] = brought[number]
        return ids


def carried_box(carried: Any, tight: list[float]) -> list[float]:
    """The box that an object brought along, unless its mask has been drawn beyond it."""
    for box in (carried, tight):
        if not isinstance(box, list) or len(box) != 4:
            return tight
        if not all(type(v) in (int, float) and math.isfinite(v) for v in box):
            return tight
    x, y, w, h = carried
    left, top, width, height = tight
    inside = x - 1 <= left and y - 1 <= top
    inside &= left + width <= x + w + 1 and top + height <= y + h + 1
    return [x, y, w, h] if inside else tight
