"""What a conversion could not express: counted, listed, never dropped in silence."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

# what a record of another form than the format's makes Python say
ODD = (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError)


@dataclass
class Findings:
    """Filled while a file is read and another one written.

    Attributes:
        lost: what -> where: objects, masks or images that the result does not hold as they were.
        noted: what -> where: said, but no object is lost (a field without a place, a guess).
        polygon_ious: (IoU, where) of each mask that had to become a polygon.
        known_ids: ids of objects that our export had given along.
        img_root: folder that the file names are relative to, where the reader knows.
    """

    lost: dict[str, list[str]] = field(default_factory=dict)
    noted: dict[str, list[str]] = field(default_factory=dict)
    polygon_ious: list[tuple[float, str]] = field(default_factory=list)
    known_ids: set[Any] = field(default_factory=set)
    img_root: Path | None = None

    def lose(self, what: str, where: object) -> None:
        """Something is not in the result."""
        self.lost.setdefault(what, []).append(str(where))

    def note(self, what: str, where: object = '') -> None:
        """Something is worth knowing."""
        self.noted.setdefault(what, []).append(str(where))

    @contextmanager
    def listing(self, what: str, where: object) -> Iterator[None]:
        """List what is of an odd form, and go on: one bad record never stops the others."""
        try:
            yield
        except ODD as error:
            said = str(error) if isinstance(error, ValueError) else repr(error)
            self.lose(what, f'{where}: {said}'[:300])

    def without_fields(self) -> Findings:
        """The same lists, for formats that have a place for every field: none is noted."""
        return _AllFields(self.lost, self.noted, self.polygon_ious, self.known_ids)

    def no_place(self, kind: str, key: str, where: object) -> None:
        """A field has no place in the other format."""
        self.note(f'no place for the field {key!r} of {kind}', where)

    @property
    def num_lost(self) -> int:
        """Number of things that are not in the result."""
        return sum(map(len, self.lost.values()))

    def lines(self, most: int | None = 5) -> list[str]:
        """The findings in words.

        Args:
            most: how many places to name of each kind; None for all.
        """
        said = []
        for title, kinds in (('not expressed', self.lost), ('note', self.noted)):
            for what, places in kinds.items():
                named = [place for place in places if place]
                shown = named[:most]
                more = f' and {len(named) - len(shown)} more' if len(named) > len(shown) else ''
                count = f' ({len(places)})' if len(places) > 1 else ''
                tail = f': {"; ".join(shown)}{more}' if shown else ''
                said.append(f'{title}: {what}{count}{tail}')
        if self.polygon_ious:
            worst, where = min(self.polygon_ious)
            mean = sum(iou for iou, _ in self.polygon_ious) / len(self.polygon_ious)
            said.append(
                f'polygons against masks: {len(self.polygon_ious)}, mean IoU {mean:.4f}, '
                f'worst {worst:.4f} ({where})'
            )
        return said

    def summary(self) -> dict[str, Any]:
        """Everything, as JSON can hold it."""
        ious = [iou for iou, _ in self.polygon_ious]
        return {
            'not_expressed': self.lost,
            'notes': self.noted,
            'polygons': {
                'count': len(ious),
                'mean_iou': sum(ious) / len(ious) if ious else None,
                'worst_iou': min(ious, default=None),
                'worst': min(self.polygon_ious)[1] if ious else None,
            },
        }


class _AllFields(Findings):
    def no_place(self, kind: str, key: str, where: object) -> None:
        pass


class TakenFiles:
    """One file for each image; images that would share one with an earlier image are lost.

    Args:
        kind: what people call the files, with its article, such as 'a label file'.
        findings: gets the images that come too late.
    """

    def __init__(self, kind: str, findings: Findings) -> None:
        self.kind = kind
        self.findings = findings
        self._owners: dict[str, str] = {}

    def take(self, file: object, name: str) -> bool:
        """Whether the image may have the file: no earlier one has; letter case tells none apart.

        Args:
            file: path or name of the file.
            name: of the image.
        """
        key = str(file).casefold()
        if key in self._owners:
            self.findings.lose(
                f'images whose names differ in their endings alone share {self.kind}',
                f'{name} and {self._owners[key]}',
            )
            return False
        self._owners[key] = name
        return True
