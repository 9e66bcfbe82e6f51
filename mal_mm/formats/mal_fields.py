"""What labeling adds to a COCO-style file: the names of the fields, and who writes and reads them.

Of an annotation:
    segmentation, area   the mask, as COCO has them
    mal_quality          estimate in [0, 1] of the mask's IoU with the truth
    mal_flag             'empty_mask': the box stands in for a mask that came out empty;
                         'low_quality': below the `--min-quality` of the run
    ignore               1 with such a flag where a `--min-quality` was asked for: training leaves
                         the annotation out. People's own `ignore` stays as it is
    mal_polygon_iou      IoU of the mask with the polygons that were written in its place
    mal_skipped          why it could not be labelled, as a sentence
    mal_human            1: a human drew or confirmed the mask; labeling leaves it alone
    mal_review           'accept', 'reject' or 'needs_work': what a person said of the mask on the
                         review page (see review_marks.py); `ignore` is 1 with 'reject', and
                         labeling leaves alone what was accepted
Other formats carry these along, with ids and people's ticks: mal_mm/convert/attributes.py.
Of the file:
    mal_mm               the head: which labeler drew the masks and how, and what was skipped
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

QUALITY = 'mal_quality'
FLAG = 'mal_flag'
SKIPPED = 'mal_skipped'
POLYGON_IOU = 'mal_polygon_iou'
HUMAN = 'mal_human'
REVIEW = 'mal_review'
ACCEPT, REJECT, NEEDS_WORK = 'accept', 'reject', 'needs_work'
IGNORE = 'ignore'
HEAD = 'mal_mm'
# version of this page, in the head of each file
VERSION = 1

EMPTY_MASK = 'empty_mask'
LOW_QUALITY = 'low_quality'
FLAG_MEANINGS = {
    EMPTY_MASK: 'the labeler marked nothing, the box stands in for the mask',
    LOW_QUALITY: 'its quality is below what the run asked for',
}


# -- writers ------------------------------------------------------------------------------------


def drawn(
    segmentation: Any,
    area: int,
    quality: float,
    flag: str | None = None,
    ignored: bool = False,
    polygon_iou: float | None = None,
) -> dict[str, Any]:
    """Fields of an annotation that has got a mask.

    Args:
        segmentation: compressed RLE, or polygons.
        area: of the mask in pixels.
        quality: in [0, 1].
        flag: EMPTY_MASK or LOW_QUALITY.
        ignored: training must leave it out.
        polygon_iou: in [0, 1], where `segmentation` is polygons.
    """
    fields = {'segmentation': segmentation, 'area': area, QUALITY: round(quality, 4)}
    if flag is not None:
        fields[FLAG] = flag
    if ignored:
        fields[IGNORE] = 1
    if polygon_iou is not None:
        fields[POLYGON_IOU] = round(polygon_iou, 4)
    return fields


def skipped(reason: str) -> dict[str, Any]:
    """Fields of an annotation that could not be labelled."""
    return {SKIPPED: reason}


def clear(annotation: dict[str, Any]) -> None:
    """Take the marks of an earlier run away, in place; the mask and its quality stay.

    What a person said of the former mask goes too, and with a rejection its `ignore`.
    """
    if annotation.get(REVIEW) == REJECT or annotation.get(FLAG) == LOW_QUALITY:
        annotation.pop(IGNORE, None)
    for name in (SKIPPED, FLAG, POLYGON_IOU, REVIEW, HUMAN):
        annotation.pop(name, None)


def mark(annotation: dict[str, Any], review: str) -> None:
    """Write down what a person said of the mask, in place; training leaves a rejected one out.

    Args:
        annotation: with the mask that was looked at.
        review: ACCEPT, REJECT or NEEDS_WORK.
    """
    if annotation.get(REVIEW) == REJECT:
        annotation.pop(IGNORE, None)
    annotation[REVIEW] = review
    if review == REJECT:
        annotation[IGNORE] = 1


def confirm(annotation: dict[str, Any]) -> None:
    """Mark a mask as a human's, in place; what a labeler said about it goes.

    `ignore` goes only where it came with a labeler's mark: people's own stays.
    """
    _take_back(annotation)
    annotation[HUMAN] = 1


def withdraw(annotation: dict[str, Any]) -> None:
    """Take a mask away, in place, with all that was said about it: its box is another now."""
    _take_back(annotation)
    annotation.pop('segmentation', None)
    annotation.pop('area', None)


def _take_back(annotation: dict[str, Any]) -> None:
    if annotation.get(FLAG):
        annotation.pop(IGNORE, None)
    clear(annotation)
    annotation.pop(QUALITY, None)


def without_head(data: Mapping[str, Any]) -> dict[str, Any]:
    """A file's content without the head of an earlier run."""
    return {key: value for key, value in data.items() if key != HEAD}


def new_head(identity: Mapping[str, Any]) -> dict[str, Any]:
    """The head of a run: this version, and what tells one run from another."""
    return {'fields_version': VERSION, **identity}


# -- readers ------------------------------------------------------------------------------------


def skip_reason(annotation: Mapping[str, Any]) -> str | None:
    """Why the annotation could not be labelled; None where it could, or nobody tried."""
    return annotation.get(SKIPPED)


def quality_of(annotation: Mapping[str, Any]) -> float:
    """Quality of the mask; NaN where a labeler did not draw it, or what stands there is odd."""
    value = annotation.get(QUALITY)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return math.nan
    # JSON's whole numbers have no bound, floats do
    return math.nan if abs(value) > 2**53 else float(value)


def has_quality(annotation: Mapping[str, Any]) -> bool:
    """Whether the field is there: a labeler drew the mask."""
    return QUALITY in annotation


def check_min_quality(min_quality: float) -> None:
    """Raise ValueError unless `min_quality` is a number in [0, 1]."""
    is_number = isinstance(min_quality, (int, float)) and not isinstance(min_quality, bool)
    if not is_number or not 0 <= min_quality <= 1:
        raise ValueError(
            f'`min_quality` must be a number in [0, 1], got {min_quality!r}; 0 ignores no mask'
        )


def flag_of(annotation: Mapping[str, Any]) -> str | None:
    """EMPTY_MASK, LOW_QUALITY, or None."""
    return annotation.get(FLAG) or None


def is_human(annotation: Mapping[str, Any]) -> bool:
    """Whether a human drew or confirmed the mask."""
    return annotation.get(HUMAN) == 1 and type(annotation[HUMAN]) is int


def is_settled(annotation: Mapping[str, Any]) -> bool:
    """Whether a person has settled the mask: drawn, confirmed or accepted it."""
    return is_human(annotation) or review_of(annotation) == ACCEPT


def review_of(annotation: Mapping[str, Any]) -> str | None:
    """ACCEPT, REJECT, NEEDS_WORK, or None."""
    return annotation.get(REVIEW) or None


def was_labelled(annotation: Mapping[str, Any]) -> bool:
    """Whether a run has dealt with the annotation: it has got a mask, or a reason why not."""
    return SKIPPED in annotation or QUALITY in annotation


def is_sound(annotation: Mapping[str, Any]) -> bool:
    """Whether a run has left no mark that the mask is missing, a mere box, or poor."""
    return not annotation.get(FLAG) and not annotation.get(SKIPPED)


def head_of(data: Mapping[str, Any]) -> dict[str, Any]:
    """The head that labeling has written; {} where there is none."""
    head = data.get(HEAD)
    return head if isinstance(head, dict) else {}
