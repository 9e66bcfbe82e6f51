"""Label a COCO-style file with an exported labeler.

Each annotation gets `segmentation` (compressed RLE), `area` and `mal_quality`, as `mal-mm
generate` writes them; all else stays. What cannot be labelled is kept and marked `mal_skipped`.
For everything beside that (resuming, other formats, reports) there is mal-mm itself.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import numpy as np

from .box_clip import fill_box
from .labeler import Mask, OnnxLabeler, read_image
from .rle import encode_region


def main(argv: list[str] | None = None) -> int:
    """The exit status: 0 all labelled, 1 failed, 3 finished with skipped annotations."""
    parser = argparse.ArgumentParser(
        prog='python -m mal_mm_runtime',
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('labeler', type=Path, help='ONNX file that `mal-mm export` has written')
    parser.add_argument('--ann', type=Path, required=True, help='COCO-style file with boxes')
    parser.add_argument('--img-root', type=Path, required=True, help='folder of the images')
    parser.add_argument('--out', type=Path, required=True, help='the file to write')
    parser.add_argument('--threads', type=int, help='of the processor (default: all cores)')
    parser.add_argument(
        '--provider', action='append', help='of ONNX Runtime, such as CUDAExecutionProvider'
    )
    args = parser.parse_args(argv)
    try:
        labeler = OnnxLabeler(args.labeler, args.provider, args.threads)
        data = json.loads(args.ann.read_bytes())
        skipped = label_data(labeler, data, args.img_root)
        write_json(data, args.out)
    except (OSError, ValueError) as error:
        print(f'mal_mm_runtime: {error}', file=sys.stderr)
        return 1
    count = len(data['annotations'])
    print(f'wrote {args.out}: {count - skipped} of {count} annotations labelled')
    return 3 if skipped else 0


def label_data(labeler: OnnxLabeler, data: dict[str, Any], img_root: Path) -> int:
    """Label all annotations in place.

    Args:
        labeler: draws the masks.
        data: content of a COCO-style file.
        img_root: folder of its images, which names may not leave.

    Returns:
        The number of those that could not be labelled.

    Raises:
        ValueError: the data is no such content.
    """
    if not isinstance(data, dict) or not {'images', 'annotations'} <= data.keys():
        raise ValueError('the annotation file has no `images` and `annotations`')
    of_image: dict[Any, list[dict]] = {image['id']: [] for image in data['images']}
    skipped = 0
    for annotation in data['annotations']:
        if annotation.get('iscrowd') and annotation.get('segmentation'):
            continue  # a region of many, not one object
        for mark in ('mal_skipped', 'mal_flag', 'mal_polygon_iou'):
            annotation.pop(mark, None)
        if annotation.get('image_id') in of_image:
            of_image[annotation['image_id']].append(annotation)
        else:
            skipped += _skip([annotation], 'image_id is not among the images')
    for image in data['images']:
        members = of_image[image['id']]
        if members:
            skipped += _label_image(labeler, image, members, img_root)
    data['mal_mm'] = {'fields_version': 1, **labeler.info, 'runtime': 'onnx'}
    return skipped


def _label_image(
    labeler: OnnxLabeler, image: dict, annotations: list[dict], img_root: Path
) -> int:
    try:
        pixels = read_image(_under(img_root, image.get('file_name')))
    except (OSError, ValueError) as error:
        return _skip(annotations, str(error))
    skipped, good, boxes = 0, [], []
    for annotation, box in _boxes(annotations):
        # one bad box is no reason to lose the others
        problem = _box_problem(box, pixels.shape[1], pixels.shape[0])
        if problem:
            skipped += _skip([annotation], problem)
        else:
            good.append(annotation)
            boxes.append(box)
    for annotation, mask in zip(good, labeler.label(pixels, np.array(boxes)), strict=True):
        annotation.update(mask_fields(mask))
    return skipped


def mask_fields(mask: Mask) -> dict[str, Any]:
    """What an annotation gets from its mask; the box stands in for an empty one, and says so."""
    if not mask.area:
        region, top, left = fill_box(mask.box, mask.image_hw)
        rle = encode_region(region, top, left, mask.image_hw)
        fields = dict(segmentation=rle, area=int(region.sum()), mal_quality=0.0)
        return {**fields, 'mal_flag': 'empty_mask'}
    return dict(segmentation=mask.rle, area=mask.area, mal_quality=round(mask.quality, 4))


def write_json(data: Any, path: Path) -> None:
    """The file appears whole or not at all."""
    temporary = path.with_name(f'.{path.name}.tmp')
    try:
        temporary.write_text(json.dumps(data), 'utf-8')
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _boxes(annotations: list[dict]) -> Iterator[tuple[dict, list[float]]]:
    for annotation in annotations:
        try:
            x, y, w, h = (float(value) for value in annotation['bbox'])
        except (KeyError, TypeError, ValueError):
            x = y = w = h = float('nan')
        yield annotation, [x, y, x + w, y + h]


def _box_problem(box: list[float], width: int, height: int) -> str | None:
    x0, y0, x1, y1 = box
    if not np.isfinite(box).all() or x1 <= x0 or y1 <= y0:
        return 'bbox is no [x, y, width, height] of finite numbers with a width and a height'
    if x1 <= 0 or y1 <= 0 or x0 >= width or y0 >= height:
        return f'bbox lies wholly outside its {width} x {height} image'
    return None


def _skip(annotations: list[dict], reason: str) -> int:
    for annotation in annotations:
        annotation['mal_skipped'] = reason
    return len(annotations)


def _under(root: Path, name: Any) -> Path:
    """Names in files may not lead out of the folder of the images."""
    if not isinstance(name, str) or not name or '\0' in name:
        raise ValueError(f'`file_name` {name!r} names no file')
    for kind in (PurePosixPath(name), PureWindowsPath(name)):
        if kind.is_absolute() or kind.drive or '..' in kind.parts:
            raise ValueError(f'`file_name` {name!r} leaves the image folder; make it relative')
    return root / name


if __name__ == '__main__':
    sys.exit(main())
