"""Which object of a corrected file is which of ours: by our ids, else by overlap."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

from pycocotools import mask as mask_utils

from ..formats.polygons import rle_iou, tight_box
from ..formats.rle import check_rle
from .findings import Findings
from .objects import Picture, Thing

# pixels to a run of a mask that may differ: coordinates of a few digits, drawn again
_SLACK = 0.02
# objects without ids are the same from here on
_MATCH = 0.5


def match_names(
    theirs: Mapping[str, Picture], ours: Mapping[str, Picture], findings: Findings
) -> dict[str, str]:
    """Image names of the corrected file -> ours: the same, or one ends in the other."""
    by_last: dict[str, list[str]] = {}
    for name in ours:
        by_last.setdefault(name.rsplit('/', 1)[-1], []).append(name)
    partners: dict[str, str] = {}
    for name in theirs:
        found = name if name in ours else None
        if found is None:
            near = [
                own
                for own in by_last.get(name.rsplit('/', 1)[-1], ())
                if f'/{name}'.endswith(f'/{own}') or f'/{own}'.endswith(f'/{name}')
            ]
            found = near[0] if len(near) == 1 else None
        if found is None or found in partners.values():
            findings.lose('image that is not in the labelled file', name)
        elif (theirs[name].width, theirs[name].height) != (ours[found].width, ours[found].height):
            findings.lose('image of another size than in the labelled file', name)
        else:
            partners[name] = found
    return partners


def pair_objects(
    theirs: list[Thing], ours: list[Thing], findings: Findings
) -> tuple[list[tuple[Thing, Thing]], list[Thing], list[Thing], int]:
    """Find the partners of an image's objects.

    Args:
        theirs: of the corrected file.
        ours: of the labelled file.
        findings: knows which ids are ours.

    Returns:
        Partners; theirs without one; ours without one; how many were matched by overlap.
    """
    by_id = {own.annotation['id']: own for own in ours}
    pairs: list[tuple[Thing, Thing]] = []
    rest: list[Thing] = []
    for thing in theirs:
        number = thing.annotation.get('id')
        own = by_id.get(number) if isinstance(number, Hashable) else None
        # numbers that a tool gave are no ids of ours: then the objects have to meet, too
        if own and (number in findings.known_ids or overlap(thing, own) > 0):
            pairs.append((thing, by_id.pop(number)))
        else:
            rest.append(thing)
    left = list(by_id.values())
    scored = [(overlap(t, o), -i, -j) for i, t in enumerate(rest) for j, o in enumerate(left)]
    used_theirs, used_ours = set(), set()
    for score, i, j in sorted(scored, reverse=True):
        if score < _MATCH or i in used_theirs or j in used_ours:
            continue
        used_theirs.add(i)
        used_ours.add(j)
        pairs.append((rest[-i], left[-j]))
    new = [thing for i, thing in enumerate(rest) if -i not in used_theirs]
    missing = [own for j, own in enumerate(left) if -j not in used_ours]
    return pairs, new, missing, len(used_ours)


def is_same_mask(rle: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether two masks differ by no more than rounded coordinates can make them."""
    common = int(mask_utils.area(mask_utils.merge([rle, other], intersect=True)))
    differing = int(mask_utils.area(rle)) + int(mask_utils.area(other)) - 2 * common
    return differing <= int(_SLACK * len(check_rle(other)))


def overlap(a: Thing, b: Thing) -> float:
    """IoU of two objects' masks, or of their boxes where one has no mask."""
    if a.rle is not None and b.rle is not None:
        return rle_iou(a.rle, b.rle)
    box_a, box_b = (_box_of(thing) for thing in (a, b))
    if box_a is None or box_b is None:
        return 0.0
    width = min(box_a[2], box_b[2]) - max(box_a[0], box_b[0])
    height = min(box_a[3], box_b[3]) - max(box_a[1], box_b[1])
    common = max(width, 0) * max(height, 0)
    areas = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (box_a, box_b))
    return common / (areas - common)


def _box_of(thing: Thing) -> tuple[float, float, float, float] | None:
    if thing.box_xyxy is not None or thing.rle is None:
        return thing.box_xyxy
    x, y, w, h = tight_box(thing.rle)
    return x, y, x + w, y + h
