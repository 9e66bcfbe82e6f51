"""Corrections: what people changed or confirmed in another tool, taken over into a labelled file.

Objects find their partners by the ids that our export gave along, else by overlap. A mask counts
as changed if it differs from the one in the file and from what the format had made of it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..formats.coco import index_annotations, index_categories, read_coco
from ..formats.mal_fields import SKIPPED, confirm, withdraw
from ..formats.polygons import rle_iou, tight_box
from .attributes import CONFIRMED
from .findings import Findings
from .objects import Thing, pictures
from .pairing import is_same_mask, match_names, pair_objects
from .registry import ReadOptions, WriteOptions, find_format

# masks that differ so little, most of them: people were given other polygons than is thought
_ALIKE, _MANY = 0.8, 10
_SAME_BOX = 0.5  # pixels
Corners = tuple[float, float, float, float]


@dataclass
class Counts:
    """What a merge did; each a number of objects."""

    changed: int = 0
    confirmed: int = 0
    added: int = 0
    removed: int = 0
    untouched: int = 0
    by_overlap: int = 0

    def sentence(self) -> str:
        """In words."""
        return (
            f'corrections: {self.changed} changed, {self.confirmed} confirmed as they are, '
            f'{self.added} new, {self.removed} removed, {self.untouched} untouched'
            + (f'; {self.by_overlap} matched by overlap' if self.by_overlap else '')
        )


def merge_file(
    corrected: Mapping[str, Any],
    path: Path,
    format_name: str,
    options: WriteOptions,
    confirmed: str,
    deleted: str,
    findings: Findings,
) -> tuple[dict[str, Any], str]:
    """`merge_corrections` into a file that is read here; its result and a sentence about it."""
    base = read_coco(path)
    exported = as_exported(base, format_name, options)
    data, counts = merge_corrections(
        corrected, base, exported, findings, confirmed=confirmed, deleted=deleted, path=str(path)
    )
    return data, counts.sentence()


def mark_confirmed(data: Mapping[str, Any]) -> None:
    """Where there is nothing to merge into: masks that people ticked are theirs, in place."""
    for annotation in data['annotations']:
        if annotation.pop(CONFIRMED, None) and annotation.get('segmentation'):
            confirm(annotation)


def as_exported(
    base: Mapping[str, Any], format_name: str, options: WriteOptions
) -> dict[str, Any] | None:
    """The file as it comes back from a format if nobody changes anything.

    None where the format is only read, or needs the images.
    """
    form = find_format(format_name)
    if not form.write or format_name.startswith('yolo'):
        return None
    silent = Findings()
    endings = {'cvat': '.xml', 'voc': '', 'labelme': '', 'datumaro': '', 'fiftyone': ''}
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, 'again' + endings.get(format_name, '.json'))
        plain = WriteOptions(options.shapes, options.tolerance, None, options.prefix)
        form.writer()(base, out, plain, silent)
        return form.reader()(out, ReadOptions(box_format='xywh'), silent)


def merge_corrections(
    corrected: Mapping[str, Any],
    base: dict[str, Any],
    exported: Mapping[str, Any] | None,
    findings: Findings,
    *,
    confirmed: str = 'changed',
    deleted: str = 'keep',
    path: str = 'annotations',
) -> tuple[dict[str, Any], Counts]:
    """Take over what people did; everything else stays as it is.

    What they changed gets their mask and category, the mask's box, and `mal_human` 1; what they
    confirmed keeps its mask and gets `mal_human` 1. The quality of a labeler's mask goes then.

    Args:
        corrected: what a reader gave.
        base: the labelled file; changed in place.
        exported: see `as_exported`.
        findings: gets what has no partner.
        confirmed: 'changed', 'images' (all objects of images with a change) or 'all'.
        deleted: 'keep' or 'remove' objects that are gone from their image.
        path: the base file's name, for errors.

    Returns:
        The base, and what was done.

    Raises:
        AnnotationError: the base's records cannot be told apart by their ids.
    """
    index_annotations(base, path)
    categories = {
        str(c.get('name', number)): number
        for number, c in (index_categories(base, path) or {}).items()
    }
    silent = Findings()
    theirs = {p.name: p for p in pictures(corrected, findings)}
    ours = {p.name: p for p in pictures(base, silent, path)}
    again = {p.name: p for p in pictures(exported, silent)} if exported else {}
    partner_of = match_names(theirs, ours, findings)
    counts = Counts()
    gone: set[Any] = set()
    merger = _Merger(base, categories, counts, findings)
    for their_name, name in partner_of.items():
        picture, made = ours[name], again.get(name)
        sent = {t.annotation['id']: t for t in made.things} if made else None
        pairs, new, missing, met = pair_objects(
            theirs[their_name].things, picture.things, findings
        )
        counts.by_overlap += met
        merger.size_wh = picture.width, picture.height
        changes = [merger.changed(t, o, (sent or {}).get(o.annotation['id'])) for t, o in pairs]
        is_seen = bool(new) or any(changes)
        for (thing, own), change in zip(pairs, changes, strict=True):
            looked_at = (
                bool(thing.annotation.get(CONFIRMED))
                or confirmed == 'all'
                or (confirmed == 'images' and is_seen)
            )
            merger.take_over(thing, own, change, looked_at)
        for thing in new:
            merger.add(thing, picture.image['id'])
        for own in missing:
            if _was_sent(own, sent):
                _miss(own, deleted, gone, findings, counts)
    alike = sum(iou >= _ALIKE for iou in merger.ious)
    if alike >= _MANY and alike > (counts.confirmed + counts.untouched + counts.changed) / 2:
        findings.note(
            'most masks differ a little from what was sent and count as changed by people; were '
            '--shapes and --tolerance the same on the way out?'
        )
    absent = [name for name in ours if name not in partner_of.values()]
    if absent:
        findings.note(f'{len(absent)} images are not in the corrected file and stay as they are')
    base['annotations'] = [a for a in base['annotations'] if id(a) not in gone]
    return base, counts


def _was_sent(own: Thing, sent: Mapping[Hashable, Thing] | None) -> bool:
    if sent is not None:
        return own.annotation['id'] in sent
    return not any(own.annotation.get(key) for key in ('iscrowd', 'ignore', SKIPPED))


def _miss(own: Thing, deleted: str, gone: set[int], findings: Findings, counts: Counts) -> None:
    if deleted == 'remove':
        gone.add(id(own.annotation))
        counts.removed += 1
        findings.note('gone from the corrected file, removed', own.where)
    else:
        counts.untouched += 1
        findings.lose('gone from the corrected file, kept (--deleted remove)', own.where)


@dataclass
class _Merger:
    """Writes into the labelled file."""

    base: dict[str, Any]
    categories: dict[str, Hashable]
    counts: Counts
    findings: Findings
    ious: list[float] = field(default_factory=list)
    size_wh: tuple[int, int] = (0, 0)  # of the image at hand

    def changed(self, thing: Thing, own: Thing, sent: Thing | None) -> str:
        """What people changed: 'mask', 'box', 'label', several of them, or nothing."""
        said = []
        if thing.rle is not None:
            known = [each.rle for each in (own, sent) if each is not None and each.rle]
            if not any(is_same_mask(thing.rle, rle) for rle in known):
                said.append('mask')
                self.ious.append(max((rle_iou(thing.rle, rle) for rle in known), default=0))
        elif thing.box_xyxy is not None:
            boxes = [each.box_xyxy for each in (own, sent) if each is not None and each.box_xyxy]
            if not any(_near(thing.box_xyxy, box, self.size_wh) for box in boxes):
                said.append('box')
        if thing.label != own.label:
            said.append('label')
        return ' '.join(said)

    def take_over(self, thing: Thing, own: Thing, change: str, looked_at: bool) -> None:
        """Put what people changed in place of what was there.

        A mask is theirs if they changed it, or looked at it; that they changed the class says
        nothing about it. Of a new box, the old mask goes: a later run draws another one.
        """
        annotation = own.annotation
        if 'mask' in change:
            annotation['segmentation'] = thing.annotation['segmentation']
            annotation['area'] = thing.annotation['area']
            if thing.rle is not None:
                annotation['bbox'] = tight_box(thing.rle)
        if 'box' in change:
            annotation['bbox'] = thing.annotation['bbox']
            if own.rle is not None:
                withdraw(annotation)
        if 'label' in change:
            annotation['category_id'] = self.category(thing.label)
        has_mask = own.rle is not None and 'box' not in change
        is_theirs = 'mask' in change or (looked_at and has_mask)
        if is_theirs:
            confirm(annotation)
        self.counts.changed += bool(change)
        self.counts.confirmed += not change and is_theirs
        self.counts.untouched += not change and not is_theirs

    def add(self, thing: Thing, image_id: Hashable) -> None:
        """An object that people have drawn anew."""
        annotation = {
            **{k: v for k, v in thing.annotation.items() if not k.startswith('mal_')},
            'id': self._free_id(),
            'image_id': image_id,
            'category_id': self.category(thing.label),
        }
        if thing.rle is not None:
            confirm(annotation)
        self.base['annotations'].append(annotation)
        self.counts.added += 1

    def category(self, name: str) -> Hashable:
        """Id of a category by its name; a new one is added and said."""
        if name not in self.categories:
            numbers = [n for n in self.categories.values() if type(n) is int]
            self.categories[name] = max(numbers, default=0) + 1
            record = {'id': self.categories[name], 'name': name}
            self.base.setdefault('categories', []).append(record)
            self.findings.note('new category', name)
        return self.categories[name]

    def _free_id(self) -> Hashable:
        numbers = [a['id'] for a in self.base['annotations'] if type(a.get('id')) is int]
        return max(numbers, default=0) + 1


def _near(box: Corners, other: Corners, size_wh: tuple[int, int]) -> bool:
    # formats cut boxes off at the edge of their image
    sides = (*size_wh, *size_wh)
    cut = [min(max(value, 0), side) for value, side in zip(other, sides, strict=True)]
    return any(
        all(abs(a - b) <= _SAME_BOX for a, b in zip(box, each, strict=True))
        for each in (other, cut)
    )
