"""OpenImages' boxes: a CSV file with a row for each, in shares of the image."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

from ..formats.errors import AnnotationError
from ..formats.plain_file import read_plain_file
from .builder import Builder
from .files import is_picture, picture_size, pictures_below, text_of
from .findings import Findings
from .registry import ReadOptions

_NEEDED = ('ImageID', 'LabelName', 'XMin', 'XMax', 'YMin', 'YMax')
_ATTRIBUTES = ('IsOccluded', 'IsTruncated', 'IsDepiction', 'IsInside')


def read_openimages(source: Path, options: ReadOptions, findings: Findings) -> dict[str, Any]:
    """Read `*-annotations-bbox.csv`; names come from a `class-descriptions*.csv` beside it.

    Args:
        source: the CSV file.
        options: `img_root`: folder of the images, which the sizes are taken from; needed.
        findings: gets wrong rows with their line, and images that are not there.

    Returns:
        COCO-style object; a box around a group (`IsGroupOf`) has `iscrowd` 1. All images below
        the image folder are in it, those without a box too.

    Raises:
        AnnotationError: it is another kind of file, or there is no image folder.
    """
    source = Path(source)
    if options.img_root is None:
        raise AnnotationError(f'{source}: boxes are shares of the images; add --img-root DIR')
    rows = csv.DictReader(io.StringIO(text_of(read_plain_file(source)[0], source), newline=''))
    missing = [name for name in _NEEDED if name not in (rows.fieldnames or ())]
    if missing:
        raise AnnotationError(
            f'{source}: no column {", ".join(missing)}; give the boxes of '
            + 'OpenImages (*-annotations-bbox.csv)'
        )
    names = _class_names(source)
    findings.img_root = options.img_root
    builder = Builder(findings)
    images: dict[str, dict[str, Any] | None] = {}
    for path in pictures_below(options.img_root):
        name = path.relative_to(options.img_root).as_posix()
        try:
            if path.stem not in images:
                images[path.stem] = builder.image(name, *picture_size(path))
        except (OSError, ValueError) as error:
            images[path.stem] = None
            findings.lose('image that cannot be read', f'{name}: {error}')
    for row in rows:
        where = f'{source.name}:{rows.line_num}'
        key = Path(row['ImageID']).stem if is_picture(row['ImageID']) else row['ImageID']
        image = images.get(key)
        if image is None:
            findings.lose('box of an image that is not there', f'{where}: {row["ImageID"]}')
            continue
        try:
            x0, x1, y0, y1 = (float(row[name]) for name in ('XMin', 'XMax', 'YMin', 'YMax'))
        except (TypeError, ValueError):
            findings.lose('wrong row', where)
            continue
        fields: dict[str, Any] = {}
        if row.get('IsGroupOf') == '1':
            fields['iscrowd'] = 1
        flags = {name: int(row[name]) for name in _ATTRIBUTES if row.get(name) in ('0', '1')}
        if any(flags.values()):
            fields['attributes'] = flags
        width, height = image['width'], image['height']
        builder.add(
            image,
            names.get(row['LabelName'], row['LabelName']),
            where,
            box_xyxy=[round(v, 4) for v in (x0 * width, y0 * height, x1 * width, y1 * height)],
            **fields,
        )
    return builder.data()


def _class_names(source: Path) -> dict[str, str]:
    for path in sorted(source.parent.glob('*class-descriptions*.csv')):
        rows = csv.reader(io.StringIO(text_of(read_plain_file(path)[0], path), newline=''))
        return {row[0]: row[1] for row in rows if len(row) >= 2}
    return {}
