"""Which annotations give MMDetection no mask to train on, and why.

It leaves them out without a word, some when it reads the file and some when it loads an image.
`why_unused` asks what it asks, in its order.

Source: CocoDataset.parse_data_info and filter_data, then LoadAnnotations._process_masks.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from ..formats.mal_fields import skip_reason
from ..formats.mask_check import mask_problem

LABEL = 'tools/generate_pseudo_masks.py'


class Problem(NamedTuple):
    """Why MMDetection takes no mask from an annotation.

    Attributes:
        what: end of a sentence about the annotations.
        fix: what to do.
        stops: one such annotation is enough to refuse the file.
    """

    what: str
    fix: str
    stops: bool = False


MARKED = Problem(
    'are marked `ignore: 1`',
    f'{LABEL} marks what is under --min-quality, and tools/label.py --reject what a review has '
    'rejected; label with a lower one, or draw the rejected masks again with --redo',
)
NO_BOX = Problem('have no `bbox` of four numbers', 'take them out of the file', stops=True)
OUTSIDE = Problem('have boxes outside their image', 'compare the boxes with the images')
NO_AREA = Problem(
    'have no `area`',
    f'label the file with {LABEL}, which writes the area of each mask',
    stops=True,
)
SKIPPED = Problem(
    'could not be labelled', '`mal_skipped` in the file says why; fix that and label again'
)
EMPTY = Problem('have an area of 0 or less', 'write the area of each mask')
TINY = Problem('have boxes narrower or lower than 1 px', 'give boxes in pixels, not in shares')
OTHER_CATEGORY = Problem(
    "are of categories that are none of the dataset's classes",
    'name all categories in `metainfo.classes` of the dataset',
)
NO_IMAGE = Problem('belong to no image of the file', 'fix `image_id`')
SMALL_IMAGE = Problem(
    'lie in images smaller than `filter_cfg.min_size`', 'set `filter_cfg.min_size` to 0'
)
NO_MASK = Problem(
    'have no `segmentation`',
    f'a file of boxes is to be labelled first: {LABEL} CONFIG CHECKPOINT --ann THIS.json '
    '--img-root DIR --out OUT.json',
    stops=True,
)
CROWD = Problem(
    'are crowds (`iscrowd: 1`), which train no mask',
    'write `iscrowd: 0` where the mask is of one object',
)
WRONG_MASK = Problem(
    'have a mask that is damaged, empty, or of another size than their image',
    'label them again',
    stops=True,
)
DAMAGED = Problem(
    'have a mask that is neither RLE nor a polygon of three points and more', 'label them again'
)


def why_unused(
    annotation: dict[str, Any],
    images: dict[Any, dict[str, Any]],
    categories: set[Any],
    min_size: float = 0,
    rle_problem: Problem | None = None,
) -> Problem | None:
    """Why MMDetection takes no mask from this annotation; None: it takes it.

    Args:
        annotation: of the file.
        images: by id, with `width` and `height`.
        categories: ids that the dataset keeps.
        min_size: images with a shorter side are left out, in pixels.
        rle_problem: what to answer to an RLE that is fine; None with poly2mask=True.
    """
    image = images.get(annotation.get('image_id'))
    if image is None:
        return NO_IMAGE
    if annotation.get('ignore'):
        return MARKED
    width, height = image['width'], image['height']
    try:
        x, y, w, h = annotation['bbox']
        inner_w = max(0, min(x + w, width) - max(x, 0))
        inner_h = max(0, min(y + h, height) - max(y, 0))
    except (KeyError, TypeError, ValueError):
        return NO_BOX
    area = annotation.get('area')
    skipped = skip_reason(annotation) is not None
    if inner_w * inner_h == 0:
        return SKIPPED if skipped else OUTSIDE
    if not isinstance(area, (int, float)):
        return NO_AREA
    if area <= 0:
        return SKIPPED if skipped else EMPTY
    if w < 1 or h < 1:
        return TINY
    if annotation.get('category_id') not in categories:
        return OTHER_CATEGORY
    if min(width, height) < min_size:
        return SMALL_IMAGE
    mask = annotation.get('segmentation')
    if not mask:
        return NO_MASK
    if annotation.get('iscrowd'):
        return CROWD
    if isinstance(mask, list):
        whole = [each for each in mask if len(each) % 2 == 0 and len(each) >= 6]
        if not whole:
            return DAMAGED
        return None if all(map(_is_polygon, whole)) else WRONG_MASK
    readable = isinstance(mask, dict) and mask.get('size') is not None
    if not readable or not isinstance(mask.get('counts'), (list, str)):
        return DAMAGED
    return WRONG_MASK if mask_problem(annotation, image) else rle_problem


def _is_polygon(values: list[Any]) -> bool:
    try:
        near = all(abs(value) < 1e6 for value in values)
        return near and len({*values[::2]}) > 1 and len({*values[1::2]}) > 1
    except TypeError:
        return False
