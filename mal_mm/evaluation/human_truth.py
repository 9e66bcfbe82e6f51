"""Truth in a file that people have corrected in part: their masks, not those of a labeler."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from typing import Any

from ..formats.mal_fields import has_quality, is_human

REASON = "its mask is a labeler's; others of the file are marked as human (`mal_human`)"


def is_mixed(annotations: Iterable[Mapping[str, Any]]) -> bool:
    """Whether masks of a human are marked as such, so that a labeler's are no truth."""
    return any(map(is_human, annotations))


def is_machine_made(annotation: Mapping[str, Any]) -> bool:
    """Whether a labeler drew the mask, and no human has confirmed it."""
    return has_quality(annotation) and not is_human(annotation)


def human_images(data: Mapping[str, Any]) -> set[Hashable]:
    """Ids of the images that have objects, and none with a labeler's mask.

    AP needs whole images: what a segmenter finds beside the truth counts against it.
    """
    seen = {a.get('image_id') for a in data['annotations'] if not a.get('iscrowd')}
    return seen - {a.get('image_id') for a in data['annotations'] if is_machine_made(a)}
