"""The pictures of the review report: image overlays and instance crops, written as files."""

from __future__ import annotations

from functools import lru_cache
from itertools import count
from pathlib import Path

import cv2
import numpy as np

from mal_mm.formats import annotation_to_rle
from mal_mm.formats.mal_fields import flag_of
from mal_mm.formats.paths import image_file_name, resolve_under
from mal_mm.formats.plain_file import read_plain_file
from mal_mm_runtime.image_file import decode_image

from .overlay import (
    decode_mask,
    display_scale,
    draw_agreement,
    draw_contours,
    draw_masks,
    instance_colors,
    scale_image,
    scale_mask,
    window_around,
)
from .summary import ReviewData, as_key, image_size, mean

MASK_COLOR = (255, 45, 120)
HUMAN_COLOR = (0, 229, 255)
BOX_COLOR = (255, 214, 10)
CROP_MARGIN = 0.3
CROP_PIXELS = 384
JPEG_QUALITY = 92


def read_image(path: Path, size_hw: tuple[int, int] | None = None) -> np.ndarray:
    """Read a picture as HWC uint8 RGB.

    Cameras store a turn in the EXIF data. The picture is turned as MMDetection does it by
    default, unless only the unturned one has the size the annotation file says.

    Raises:
        ValueError: it is damaged, cut short, no picture, or has another size.
        OSError: it cannot be read.
    """
    content, _ = read_plain_file(path)
    for turn in (True, False):
        pixels = decode_image(content, turn)
        height, width = pixels.shape[:2]
        if size_hw is None or (height, width) == tuple(size_hw):
            return pixels
    raise ValueError(
        f'the picture is {width} x {height} pixels, '
        f'the annotation file says {size_hw[1]} x {size_hw[0]}'
    )


def write_image(path: Path, image_rgb: np.ndarray) -> None:
    """Write HWC uint8 RGB as JPEG with full colour resolution, which thin outlines need.

    Raises:
        OSError: OpenCV cannot encode it, or the disk is full.
    """
    options = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
    options += [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
    done, data = cv2.imencode('.jpg', image_rgb[..., ::-1], options)
    if not done:
        raise OSError(f"OpenCV cannot write '{path}'")
    path.write_bytes(data.tobytes())


class PictureBook:
    """Draws a data set's pictures into a folder; what cannot be drawn ends in `problems`.

    Args:
        data: the annotations.
        img_root: folder that the `file_name` of images is relative to.
        folder: existing folder for the pictures.
    """

    def __init__(self, data: ReviewData, img_root: str | Path, folder: Path) -> None:
        self.data = data
        self.img_root = Path(img_root)
        self.folder = folder
        self.problems: dict[str, str] = {}
        # Written files are numbered: names out of annotation files are not to be trusted.
        self._numbers = {'image': count(), 'instance': count()}
        self._read = lru_cache(maxsize=8)(read_image)
        self._by_image: dict[object, list[int]] = {}
        for index, annotation in enumerate(data.annotations):
            self._by_image.setdefault(as_key(annotation.get('image_id')), []).append(index)

    def instances_of(self, image_id: object) -> list[int]:
        """Return the positions of an image's annotations in `data.annotations`."""
        return self._by_image.get(image_id, [])

    def image_figure(self, image_id: object) -> dict | None:
        """Write all views of an image; return what the template needs, None on a problem.

        Views: `masks` (pseudo-masks), `boxes`, `photo`, and where there are human masks
        `human` and `agreement`.
        """
        image_rgb = self._image(image_id)
        if image_rgb is None:
            return None
        image, size_hw = self.data.images[image_id], image_rgb.shape[:2]
        members = self.instances_of(image_id)
        masks = [self._rle(i, size_hw) for i in members]
        human = [self._rle(i, size_hw, human=True) for i in members]
        boxes = [self._box(i) for i in members]
        colors = instance_colors(len(members))
        scale = display_scale(size_hw)
        views = {
            'masks': draw_masks(image_rgb, masks, None, colors, scale=scale),
            'boxes': draw_masks(image_rgb, None, boxes, colors, scale=scale, box_width=2),
        }
        if any(mask is not None for mask in human):
            views['human'] = draw_masks(image_rgb, human, None, colors, scale=scale)
            views['agreement'] = draw_agreement(image_rgb, masks, human, scale=scale)
        views['photo'] = scale_image(image_rgb, scale)
        stem = f'image-{next(self._numbers["image"]):03d}'
        for view, picture in views.items():
            write_image(self.folder / f'{stem}-{view}.jpg', picture)
        members = np.array(members, dtype=int)
        return {
            'file_name': str(image_file_name(image)),
            'views': {view: f'{stem}-{view}.jpg' for view in views},
            'height': views['photo'].shape[0],
            'width': views['photo'].shape[1],
            'masks': int(self.data.has_mask[members].sum()),
            'boxes': len(members),
            'quality': mean(self.data.quality[members]),
            'iou': mean(self.data.iou[members]),
        }

    def instance_figure(self, index: int) -> dict | None:
        """Write a crop of one annotation, drawn and plain; None on a problem."""
        annotation = self.data.annotations[index]
        box = self._box(index)
        if not np.isfinite(box).all():
            return None
        image_id = as_key(annotation.get('image_id'))
        image_rgb = self._image(image_id)
        if image_rgb is None:
            return None
        size_hw = image_rgb.shape[:2]
        x0, y0, x1, y1 = window_around(box, size_hw, CROP_MARGIN, square=True)
        crop = image_rgb[y0:y1, x0:x1]
        scale = display_scale(crop.shape[:2], CROP_PIXELS, CROP_PIXELS + CROP_PIXELS // 2)
        mask, human = (
            None if rle is None else decode_mask(rle, size_hw)[y0:y1, x0:x1]
            for rle in (self._rle(index, size_hw), self._rle(index, size_hw, human=True))
        )
        drawn = draw_masks(
            crop,
            None if mask is None else [mask],
            None,
            [MASK_COLOR],
            alpha=0.3,
            scale=scale,
        )
        crop_box = [box[0] - x0, box[1] - y0, box[2], box[3]]
        drawn = draw_masks(drawn, None, np.array([crop_box]) * scale, [BOX_COLOR], box_width=2)
        if human is not None:
            draw_contours(drawn, scale_mask(human, scale), HUMAN_COLOR, 2)
        stem = f'instance-{next(self._numbers["instance"]):03d}'
        write_image(self.folder / f'{stem}.jpg', drawn)
        write_image(self.folder / f'{stem}-photo.jpg', scale_image(crop, scale))
        image = self.data.images[image_id]
        return {
            'src': f'{stem}.jpg',
            'photo': f'{stem}-photo.jpg',
            'height': drawn.shape[0],
            'width': drawn.shape[1],
            'id': annotation.get('id'),
            'category': self.data.category_name(annotation),
            'file_name': str(image_file_name(image)),
            'quality': _known(self.data.quality[index]),
            'iou': _known(self.data.iou[index]),
            'has_mask': bool(self.data.has_mask[index]),
            'flag': flag_of(annotation),
        }

    def _image(self, image_id: object) -> np.ndarray | None:
        image = self.data.images.get(image_id)
        if image is None:
            self.problems[f'image {image_id}'] = 'the annotation file lists no such image'
            return None
        file_name = image_file_name(image)
        if str(file_name) in self.problems:
            return None
        try:
            size_hw = image_size(image)
            path = resolve_under(self.img_root, file_name)
            return self._read(path, None if None in size_hw else size_hw)
        except FileNotFoundError:
            self.problems[str(file_name)] = f"not found under '{self.img_root}'"
        except (ValueError, OSError) as error:
            self.problems[str(file_name)] = str(error)
        return None

    def _rle(self, index: int, size_hw: tuple[int, int], human: bool = False) -> dict | None:
        annotation = self.data.human[index] if human else self.data.annotations[index]
        if annotation is None:
            return None
        try:
            return annotation_to_rle(annotation, *size_hw)
        except ValueError as error:
            self.problems[f'annotation {annotation.get("id")}'] = str(error)
            return None

    def _box(self, index: int) -> np.ndarray:
        try:
            box = np.array(self.data.annotations[index].get('bbox'), dtype=float)
        except (TypeError, ValueError):
            box = np.full(4, np.nan)
        return box if box.shape == (4,) else np.full(4, np.nan)


def _known(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
