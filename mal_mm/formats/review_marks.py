"""The marks that a person gives masks on the review page, and the file that holds them.

    {"format": "mal_mm review marks", "version": 1,
     "file": {"name": "masks.json", "identity": "9f2c..."},
     "marks": [{"annotation_id": 7, "mark": "reject", "mask": "1b2c3d4e", "image": "a.jpg"}, ...]}

Annotations without a mark are not in it. `mask` is the digest of the mask that was looked at: a
mark says nothing about a mask that has been drawn anew since. `image` is there for people only.
In an annotation file the same mark is the field `mal_review`, see mal_fields.py.

The page's own code (mal_mm/visualization/assets/marks.js) writes and reads the same file.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .errors import AnnotationError, shorten
from .json_file import read_json
from .mal_fields import ACCEPT, NEEDS_WORK, REJECT
from .rle import rle_to_str_counts

FORMAT, VERSION = 'mal_mm review marks', 1
MARKS = (ACCEPT, REJECT, NEEDS_WORK)
# what `--redo` labels again
REDO = frozenset({REJECT, NEEDS_WORK})


@dataclass(frozen=True)
class ReviewMarks:
    """The marks of a file.

    Attributes:
        marks: JSON text of an annotation's id -> [(mark, digest of the mask)]; more than one
            where a file gives an id twice.
        path: where they were read, for errors.
    """

    marks: Mapping[str, list[tuple[str, str]]]
    path: Path

    def __len__(self) -> int:
        return sum(len(entries) for entries in self.marks.values())

    def mark_of(self, annotation: Mapping[str, Any]) -> str | None:
        """The mark of an annotation: 'accept', 'reject' or 'needs_work'.

        None where it has no mark, or where its mask is not the one that was looked at.
        """
        entries = self.marks.get(id_text(annotation.get('id')))
        if not entries:
            return None
        digest = mask_digest(annotation.get('segmentation'))
        return next((mark for mark, marked in entries if marked == digest), None)

    def is_outdated(self, annotation: Mapping[str, Any]) -> bool:
        """Whether the annotation has a mark, but of a mask that it no longer has."""
        known = id_text(annotation.get('id')) in self.marks
        return known and self.mark_of(annotation) is None


def read_marks(path: str | Path) -> ReviewMarks:
    """Read what the review page has exported.

    Raises:
        AnnotationError: the file cannot be read or is no such file; names the entry that is
            wrong.
    """
    data = read_json(path)
    if not isinstance(data, dict) or data.get('format') != FORMAT:
        raise AnnotationError(
            f"{path}: is no file of review marks; give what 'Export marks' of the review page "
            'wrote'
        )
    if data.get('version') != VERSION:
        raise AnnotationError(
            f'{path}: has version {shorten(data.get("version"))} of the marks, this program reads '
            f'{VERSION}; use the mal_mm that wrote the page'
        )
    entries = data.get('marks')
    if not isinstance(entries, list):
        raise AnnotationError(f"{path}: 'marks' must be a list, got {shorten(entries)}")
    marks: dict[str, list[tuple[str, str]]] = {}
    for place, entry in enumerate(entries):
        if not isinstance(entry, dict) or 'annotation_id' not in entry:
            raise AnnotationError(
                f"{path}: marks[{place}] must be an object with 'annotation_id', got "
                f'{shorten(entry)}'
            )
        if entry.get('mark') not in MARKS:
            raise AnnotationError(
                f'{path}: marks[{place}] (annotation {shorten(entry["annotation_id"])}) has the '
                f'mark {shorten(entry.get("mark"))}; it must be one of {", ".join(MARKS)}'
            )
        key = id_text(entry['annotation_id'])
        marks.setdefault(key, []).append((entry['mark'], str(entry.get('mask', ''))))
    return ReviewMarks(marks, Path(path))


def mask_digest(segmentation: Any) -> str:
    """Eight hexadecimal digits that tell a mask from another; '' where there is none.

    Args:
        segmentation: of an annotation, in any form; it need not be valid.
    """
    if not segmentation:
        return ''
    if isinstance(segmentation, Mapping) and isinstance(segmentation.get('counts'), bytes):
        segmentation = rle_to_str_counts(dict(segmentation))
    if isinstance(segmentation, Mapping) and isinstance(segmentation.get('counts'), str):
        text = f'{segmentation.get("size")} {segmentation["counts"]}'
    else:
        text = json.dumps(segmentation, default=str)
    return f'{zlib.crc32(text.encode("utf-8", "surrogatepass")):08x}'


def id_text(annotation_id: Any) -> str:
    """An id as JSON text, which keeps 7 and "7" apart and digits that a browser would round."""
    return json.dumps(annotation_id, default=str)
