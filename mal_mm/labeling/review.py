"""What a person said of the masks: which are drawn again, which are left out of training."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..formats import mal_fields
from ..formats.coco import CocoStream, write_coco
from ..formats.plain_file import sha256
from ..formats.review_marks import MARKS, REDO, ReviewMarks


def check_redo(marks: ReviewMarks, found: int, ann: str | Path) -> str:
    """Say how many masks are drawn again.

    Args:
        marks: of the review.
        found: annotations of the file whose mask is the one that was marked.
        ann: the file's name.

    Raises:
        ValueError: there is nothing to do.
    """
    wanted = sum(mark in REDO for entries in marks.marks.values() for mark, _ in entries)
    if not wanted:
        raise ValueError(
            f"{marks.path}: no mask is marked 'reject' or 'needs_work', so that there is nothing "
            'to draw again'
        )
    if not found:
        raise ValueError(
            f'{marks.path}: none of its {wanted} rejected masks and masks that need work is in '
            f'{ann}: they have been drawn anew since, or the marks are of another file; give the '
            'file that the review page was made of'
        )
    others = wanted - found
    rest = f'; {others} marks are of masks that it no longer has' if others else ''
    return f'{found} of {wanted} marked masks are drawn again, all others stay{rest}'


def describe_marks(marks: ReviewMarks) -> str:
    """The marks in the head of a file: name and digest."""
    return f'{marks.path.name} (sha256 {sha256(marks.path)[:16]})'


def write_marked(ann: str | Path, marks: ReviewMarks, out: str | Path) -> Counter[str]:
    """Write the marks into an annotation file: `mal_review`, and `ignore: 1` for the rejected.

    MMDetection leaves annotations with `ignore` out of training. Nothing is removed, and masks,
    order and all other fields stay.

    Args:
        ann: labelled COCO-style file.
        marks: of the review.
        out: the file to write.

    Returns:
        Mark -> annotations that got it; 'outdated' -> those that have been drawn anew since, and
        get none.

    Raises:
        AnnotationError: the file cannot be used.
        ValueError: no mark fits the file; nothing is written.
    """
    stream = CocoStream(ann)
    counts = Counter(marks.mark_of(annotation) for annotation in stream)
    if not any(counts[mark] for mark in MARKS):
        raise ValueError(
            f'{marks.path}: none of its {len(marks)} marks fits a mask of {ann}; give the file '
            'that the review page was made of'
        )
    outdated = sum(marks.is_outdated(annotation) for annotation in stream)
    data = dict(stream.value)
    data['annotations'] = _marked(stream, marks)
    if mal_fields.HEAD in data:
        data[mal_fields.HEAD] = {**mal_fields.head_of(data), 'review': describe_marks(marks)}
    write_coco(data, out)
    return Counter({**{mark: counts[mark] for mark in MARKS}, 'outdated': outdated})


def _marked(stream: CocoStream, marks: ReviewMarks) -> Iterator[dict[str, Any]]:
    for annotation in stream:
        mark = marks.mark_of(annotation)
        if mark is not None:
            mal_fields.mark(annotation, mark)
        yield annotation
