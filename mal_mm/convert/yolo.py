"""YOLO data sets (Ultralytics): data.yaml, images, and label files beside them.

A row is a class and four shares of the image (centre and size), or a class and the points of a
polygon. A sixth number of a box, and an odd one out of a polygon, is a confidence.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from ..formats.errors import AnnotationError, shorten
from ..formats.mal_fields import SKIPPED
from ..formats.plain_file import read_plain_file
from ..formats.polygons import flat, one_ring, polygon_iou
from .builder import Builder
from .files import is_picture, new_folder, picture_size, text_of
from .findings import Findings, TakenFiles
from .images import copy_image
from .objects import Picture, Thing, category_names, pictures
from .registry import ReadOptions, WriteOptions
from .yolo_layout import SPLITS, Layout, label_file, layout_of

# of the image's side: rows from tools that round a little beyond the edge are no mistake
_BEYOND = 0.01


def read_yolo(source: Path, options: ReadOptions, findings: Findings) -> dict[str, Any]:
    """Read a data set by its data.yaml, or a folder of images and labels.

    Args:
        source: data.yaml, or the folder that it lies in or could lie in.
        options: `split` takes one part; `img_root` is the data set's folder if it is elsewhere.
        findings: gets wrong rows with file and line, and images without a size.

    Returns:
        COCO-style object; `file_name`s are relative to the data set's folder, and class n of the
        files is category n + 1.

    Raises:
        AnnotationError: there are no images, or data.yaml makes no sense.
        OSError: a file cannot be read.
    """
    layout = layout_of(source, options, findings)
    builder = Builder(findings)
    findings.img_root = layout.root
    names = layout.names
    for number in range(max(names, default=-1) + 1):
        builder.category(names.get(number, f'class {number}'))
    if len(builder.categories) < len(names):
        raise AnnotationError(f'{source}: two classes have one name in `names`; rename one')
    for split, path in layout.images:
        name = path.relative_to(layout.root).as_posix()
        fields = {'split': split} if split else {}
        try:
            width, height = picture_size(path)
        except (OSError, ValueError) as error:
            findings.lose('image that cannot be read', f'{name}: {error}')
            continue
        image = builder.image(name, width, height, **fields)
        if image is not None:
            _read_labels(label_file(path, layout.root), image, builder, layout.root, layout)
    _look_for_strays(layout, findings)
    return builder.data()


read_yolo_seg = read_yolo


def _look_for_strays(layout: Layout, findings: Findings) -> None:
    """Label files that belong to no image; those of other splits do."""
    owned: set[Path] = set()
    for folder in {path.parent for _, path in layout.images}:
        owned |= {label_file(path, layout.root) for path in folder.iterdir() if is_picture(path)}
    for folder in sorted({path.parent for path in owned}):
        for path in sorted(folder.glob('*.txt')):
            if path not in owned and path.stem not in (*SPLITS, 'classes', 'README'):
                name = path.relative_to(layout.root).as_posix()
                findings.lose('label file without an image', name)


def _read_labels(
    path: Path, image: dict[str, Any], builder: Builder, root: Path, layout: Layout
) -> None:
    name = path.relative_to(root).as_posix()
    if not path.is_file():
        builder.findings.note('image without a label file, taken as one without objects', name)
        return
    known = list(builder.categories)
    for number, line in enumerate(text_of(read_plain_file(path)[0], name).splitlines(), start=1):
        if not line.strip():
            continue
        where = f'{name}:{number}'
        row = _numbers(line)
        problem = _problem(row, layout.has_keypoints)
        if problem:
            builder.findings.lose(f'wrong row, {problem}', f'{where}: {shorten(line.strip())}')
            continue
        kind = int(row[0])
        while kind >= len(known):
            builder.category(f'class {len(known)}')
            known = list(builder.categories)
            builder.findings.note('class that is not among the names', f'{where}: {kind}')
        shares = row[1:]
        fields: dict[str, Any] = {}
        if layout.has_keypoints:
            builder.findings.note('keypoints are not taken over', where)
            shares = shares[:4]
        elif len(shares) == 5 or (len(shares) > 5 and len(shares) % 2):
            fields['score'] = shares.pop()
        sides = (image['width'], image['height'])
        if len(shares) == 4:
            x, y, w, h = (share * sides[i % 2] for i, share in enumerate(shares))
            # a share of few digits is a pixel's fraction off; whole pixels were meant
            corners = [_near(v) for v in (x - w / 2, y - h / 2, x + w / 2, y + h / 2)]
            builder.add(image, known[kind], where, box_xyxy=corners, **fields)
        else:
            polygon = [_near(share * sides[i % 2]) for i, share in enumerate(shares)]
            xs, ys = polygon[::2], polygon[1::2]
            builder.add(
                image,
                known[kind],
                where,
                box_xyxy=(min(xs), min(ys), max(xs), max(ys)),
                segmentation=[polygon],
                **fields,
            )


def _numbers(line: str) -> list[float]:
    try:
        return [float(word) for word in line.split()]
    except ValueError:
        return []


def _problem(row: list[float], has_keypoints: bool) -> str:
    if not row:
        return 'not numbers'
    if not all(map(math.isfinite, row)):
        return 'NaN or infinity'
    if row[0] < 0 or row[0] != int(row[0]) or row[0] > 1e6:
        return 'the class is no whole number from 0'
    if len(row) < 5:
        return 'neither a box (5 numbers) nor a polygon (7 and more)'
    shares = row[1:5] if has_keypoints or len(row) <= 6 else row[1 : 1 + len(row[1:]) // 2 * 2]
    if not all(-_BEYOND <= share <= 1 + _BEYOND for share in shares):
        return 'shares must lie between 0 and 1'
    if len(row) <= 6 and min(row[3:5]) <= 0:
        return 'width and height must be above 0'
    return ''


def _near(value: float) -> float:
    nearest = round(value)
    return float(nearest) if abs(value - nearest) < 2e-3 else round(value, 4)


# -------------------------------------------------------------------------------------- writing


def write_yolo(
    data: Mapping[str, Any], out: Path, options: WriteOptions, findings: Findings
) -> None:
    """Write boxes: data.yaml, labels/ and, if asked for, images/ of a new folder.

    Args:
        data: COCO-style object.
        out: the folder.
        options: `img_root`: copy the images from there.
        findings: gets crowds, ignored objects and what has no box.
    """
    _write(data, out, options, findings, _box_row)


def write_yolo_seg(
    data: Mapping[str, Any], out: Path, options: WriteOptions, findings: Findings
) -> None:
    """Write polygons; parts and holes of a mask are joined into one ring. See `write_yolo`."""
    _write(data, out, options, findings, _polygon_row)


def _write(
    data: Mapping[str, Any], out: Path, options: WriteOptions, findings: Findings, row: Any
) -> None:
    names = list(dict.fromkeys(category_names(data, findings).values()))
    splits: dict[str, list[str]] = {}
    with new_folder(out) as folder:
        taken = TakenFiles('a label file', findings)
        for picture in pictures(data, findings, carries_fields=False):
            split = picture.image.get('split')
            split = split if split in SPLITS else 'train'
            inside = _inside(picture.name)
            if '\n' in inside or '\r' in inside:
                findings.lose('image whose name has two lines', repr(inside))
                continue
            label = label_file(folder / 'images' / inside, folder)
            if not taken.take(label, picture.name):
                continue
            label.parent.mkdir(parents=True, exist_ok=True)
            rows = []
            for thing in picture.things:
                if thing.label not in names:
                    names.append(thing.label)
                text = _checked(thing, picture, options, findings, row)
                if text:
                    rows.append(f'{names.index(thing.label)} {text}\n')
            label.write_text(''.join(rows), 'utf-8')
            splits.setdefault(split, []).append(f'./images/{inside}')
            (folder / 'images').mkdir(exist_ok=True)
            copy_image(picture, options.img_root, folder / 'images' / inside, findings)
        _write_lists(folder, names, splits)
        if set(splits) <= {'train'}:
            findings.note('data.yaml: `val` is `train`, as Ultralytics wants both; put your own')


def _inside(name: str) -> str:
    # what lies in images/ already stays one folder deep
    return name.removeprefix('images/')


def _checked(
    thing: Thing, picture: Picture, options: WriteOptions, findings: Findings, row: Any
) -> str | None:
    for field, what in (
        ('iscrowd', 'crowd region, which the format does not have'),
        ('ignore', 'object marked `ignore`, which the format does not have'),
        (SKIPPED, 'object that could not be labelled'),
    ):
        if thing.annotation.get(field):
            findings.lose(what, thing.where)
            return None
    return row(thing, picture, options, findings)


def _box_row(
    thing: Thing, picture: Picture, options: WriteOptions, findings: Findings
) -> str | None:
    if thing.box_xyxy is None:
        findings.lose('object without a box', thing.where)
        return None
    if thing.rle is not None:
        findings.note('masks are left out, boxes written (yolo-seg has them)', thing.where)
    x0, x1 = (min(max(x, 0), picture.width) for x in thing.box_xyxy[::2])
    y0, y1 = (min(max(y, 0), picture.height) for y in thing.box_xyxy[1::2])
    if (x0, y0, x1, y1) != thing.box_xyxy:
        findings.note('box cut off at the edge of its image', thing.where)
    return _shares([(x0 + x1) / 2, (y0 + y1) / 2, x1 - x0, y1 - y0], picture)


def _polygon_row(
    thing: Thing, picture: Picture, options: WriteOptions, findings: Findings
) -> str | None:
    if thing.rle is None:
        findings.lose('object without a mask', thing.where)
        return None
    ring = one_ring(thing.rle, thing.polygons, options.tolerance)
    if ring is None:
        findings.lose('mask without an inside', thing.where)
        return None
    if thing.box_xyxy is not None and thing.is_loose:
        findings.note('box that is not the one of its mask; readers take the mask', thing.where)
    ring[:, 0] = ring[:, 0].clip(0, picture.width)
    ring[:, 1] = ring[:, 1].clip(0, picture.height)
    findings.polygon_ious.append((polygon_iou([flat(ring)], thing.rle), thing.where))
    return _shares(ring.ravel().tolist(), picture)


def _shares(values: list[float], picture: Picture) -> str:
    shares = np.asarray(values).reshape(-1, 2) / (picture.width, picture.height)
    return ' '.join(['%.7f'] * shares.size) % tuple(shares.ravel().tolist())


def _write_lists(folder: Path, names: list[str], splits: dict[str, list[str]]) -> None:
    # without `path` Ultralytics starts from the folder of data.yaml; `.` would be the current one
    described: dict[str, Any] = {'train': 'images', 'val': 'images'}
    if set(splits) - {'train'}:
        for split, lines in splits.items():
            described[split] = f'{split}.txt'
            listed = ''.join(f'{line}\n' for line in lines)
            (folder / f'{split}.txt').write_text(listed, 'utf-8')
    described['names'] = dict(enumerate(names))
    text = yaml.safe_dump(described, allow_unicode=True, sort_keys=False)
    (folder / 'data.yaml').write_text(text, 'utf-8')
