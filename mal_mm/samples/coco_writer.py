"""Write one split of a sample set: images, a boxes-only COCO file and its twin with masks.

OUT/<split>/*.png       images; `file_name` is relative to OUT, so OUT is the image root
OUT/<split>.json        boxes only: no segmentation, area = w * h of the box
OUT/<split>_gt.json     the same ids in the same order; masks (compressed RLE), their area
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

import cv2
import numpy as np
from pycocotools import mask as coco_mask

from ..formats.atomic import atomic_write
from ..formats.boxes import SIZE_BOUNDS

CC0 = {
    'id': 1,
    'name': 'CC0 1.0 Universal',
    'url': 'https://creativecommons.org/publicdomain/zero/1.0/',
}
PUBLIC_DOMAIN = {
    'id': 2,
    'name': 'Public Domain Mark 1.0',
    'url': 'https://creativecommons.org/publicdomain/mark/1.0/',
}


def box_of_mask(mask: np.ndarray) -> list[int]:
    """Tight COCO box of a mask.

    Args:
        mask: (H, W) bool with at least one true pixel.

    Returns:
        [x, y, w, h] in pixels: x, y = smallest index, w, h = largest - smallest + 1.

    Raises:
        ValueError: the mask is empty.
    """
    xs = np.flatnonzero(mask.any(axis=0))
    ys = np.flatnonzero(mask.any(axis=1))
    if not len(xs):
        raise ValueError('`mask` is empty and has no box; leave the instance out')
    return [int(v) for v in (xs[0], ys[0], xs[-1] - xs[0] + 1, ys[-1] - ys[0] + 1)]


class SplitWriter:
    """Collects the images and instances of one split; `write` ends with its two JSON files.

    Args:
        out_dir: root of the sample set, made if missing.
        split: name of the split and of its image folder: 'train', 'unseen', 'photos'.
        description: goes to `info.description`.
        categories: names; the n-th gets the category id n, counted from 1.
        info: more entries of `info`, of plain JSON types.
    """

    def __init__(
        self,
        out_dir: Path,
        split: str,
        description: str,
        categories: Sequence[str],
        info: dict | None = None,
    ) -> None:
        self.out_dir = Path(out_dir)
        self.split = split
        self.info = {'description': description, 'version': '1.0', **(info or {})}
        self.categories = [
            {'id': number, 'name': name, 'supercategory': ''}
            for number, name in enumerate(categories, start=1)
        ]
        self.images: list[dict] = []
        self.annotations: list[dict] = []
        self.licences: dict[int, dict] = {}
        (self.out_dir / split).mkdir(parents=True, exist_ok=True)

    def add_image(
        self,
        name: str,
        image: np.ndarray,
        instances: Iterable[tuple[int, np.ndarray]],
        params: Sequence[int] = (),
    ) -> None:
        """Write one image and note its instances.

        Args:
            name: file name inside the split's folder; its suffix (.png, .jpg) sets the format.
            image: (H, W, 3) uint8, RGB.
            instances: (category id, (H, W) bool mask) pairs.
            params: encoder settings of cv2.imencode.
        """
        done, encoded = cv2.imencode(
            Path(name).suffix, cv2.cvtColor(image, cv2.COLOR_RGB2BGR), list(params)
        )
        if not done:
            raise RuntimeError(f'OpenCV could not encode {name}; use a .png or .jpg name')
        self.add_file(name, encoded.tobytes(), image.shape[:2], instances)

    def add_file(
        self,
        name: str,
        content: bytes,
        size_hw: tuple[int, int],
        instances: Iterable[tuple[int, np.ndarray]],
        licence: dict = CC0,
    ) -> None:
        """Write the file of one image as it is and note its instances.

        Args:
            name: file name inside the split's folder.
            content: of the file.
            size_hw: height and width of the image in it.
            instances: see `add_image`.
            licence: of the image, an entry of COCO's `licenses`.
        """
        with atomic_write(self.out_dir / self.split / name, 'wb') as file:
            file.write(content)

        height, width = size_hw
        image_id = len(self.images) + 1
        self.licences[licence['id']] = licence
        self.images.append(
            {
                'id': image_id,
                'file_name': f'{self.split}/{name}',
                'width': width,
                'height': height,
                'license': licence['id'],
            }
        )
        for category_id, mask in instances:
            rle = coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8))
            self.annotations.append(
                {
                    'id': len(self.annotations) + 1,
                    'image_id': image_id,
                    'category_id': category_id,
                    'bbox': box_of_mask(mask),
                    'area': int(np.count_nonzero(mask)),
                    'iscrowd': 0,
                    'segmentation': {'size': rle['size'], 'counts': rle['counts'].decode('ascii')},
                }
            )

    def write(self) -> dict[str, Path]:
        """Write both JSON files.

        Returns:
            {'<split>': boxes-only file, '<split>_gt': file with masks}.
        """
        boxes_only = []
        for annotation in self.annotations:
            boxed = {key: value for key, value in annotation.items() if key != 'segmentation'}
            boxed['area'] = boxed['bbox'][2] * boxed['bbox'][3]
            boxes_only.append(boxed)

        paths = {}
        for name, entries in ((self.split, boxes_only), (f'{self.split}_gt', self.annotations)):
            content = {
                'info': self.info,
                'licenses': [self.licences[key] for key in sorted(self.licences)],
                'images': self.images,
                'annotations': entries,
                'categories': self.categories,
            }
            paths[name] = self.out_dir / f'{name}.json'
            with atomic_write(paths[name]) as file:
                json.dump(content, file)
        return paths


def summarize(paths: dict[str, Path]) -> str:
    """Table of what a sample set holds.

    Args:
        paths: what `make_nuclei`, `make_photos` or `make_shapes` returned.

    Returns:
        Text of several lines: per split its files and the numbers of images and boxes, the latter
        also by COCO's size classes of the box area (32^2 and 96^2 px divide them) and by category.
    """
    lines = []
    for split in [key for key in paths if not key.endswith('_gt')]:
        content = json.loads(paths[split].read_text())
        areas = np.array([a['area'] for a in content['annotations']])
        small, _, large = np.bincount(np.digitize(areas, SIZE_BOUNDS), minlength=3).tolist()
        of_category = {c['id']: 0 for c in content['categories']}
        for annotation in content['annotations']:
            of_category[annotation['category_id']] += 1
        names = ', '.join(f'{of_category[c["id"]]} {c["name"]}' for c in content['categories'])
        lines += [
            f'{split}: {len(content["images"])} images, {len(areas)} boxes '
            f'({small} small, {len(areas) - small - large} medium, {large} large)',
            f'    {names}',
            f'    boxes only: {paths[split]}',
            f'    with masks: {paths[f"{split}_gt"]}',
        ]
    return '\n'.join(lines)
