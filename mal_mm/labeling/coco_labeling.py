"""Label a whole COCO-style file: every annotation that goes in comes out, in order."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Hashable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ..formats.boxes import Skip, box_problem
from ..formats.coco import index_images, split_usable
from ..formats.paths import resolve_under
from .engine import Crop, LabelingEngine
from .image_io import read_image
from .pseudo_mask import PseudoMask
from .region_rle import encode_region


@dataclass
class Summary:
    """What happened to a file.

    Attributes:
        images: images that were read.
        masks: annotations that got a mask from the network.
        crowds: crowd regions, passed through.
        empty: masks that came out empty and were replaced by the box.
        skips: annotations without a mask, with the reason.
    """

    images: int = 0
    masks: int = 0
    crowds: int = 0
    empty: int = 0
    skips: list[Skip] = field(default_factory=list)

    def reasons(self) -> Counter:
        """Reason -> number of annotations."""
        return Counter(skip.reason for skip in self.skips)


@dataclass(frozen=True)
class _Image:
    record: dict
    places: list[int]


def label_coco(
    data: dict,
    img_root: str | Path,
    engine: LabelingEngine,
    path: str | Path = 'annotations',
    on_image: Callable[[int], None] | None = None,
    num_threads: int = 2,
) -> Summary:
    """Draw a mask for every annotation, in place.

    Each image is decoded once, in threads, while the network works. A labelled annotation gets
    `segmentation` (compressed RLE), `area` (of the mask) and `mal_quality`; nothing else changes.
    A mask that comes out empty is replaced by the box, with `mal_quality` 0 and `mal_flag`
    'empty_mask'. An annotation that cannot be labelled keeps its own mask if it has one, otherwise
    gets an empty one with area 0, which training leaves out; `mal_skipped` says why. Crowd regions
    with a mask pass through untouched.

    Args:
        data: what `read_coco` gives; changed in place.
        img_root: folder that `file_name`s are relative to; they may not leave it.
        engine: draws the masks.
        path: the annotation file's name, for errors.
        on_image: called with the number of boxes of each finished image.
        num_threads: threads that read and cut images.

    Returns:
        The summary.

    Raises:
        AnnotationError: images or categories cannot be told apart by their ids.
    """
    annotations = data['annotations']
    images_by_id = index_images(data, path)
    summary = Summary()
    usable, bad_boxes = split_usable(data, path)
    by_image: dict[Hashable, list[int]] = {}
    for place in usable:
        if annotations[place].get('iscrowd') and annotations[place].get('segmentation'):
            summary.crowds += 1
        else:
            by_image.setdefault(annotations[place]['image_id'], []).append(place)
    for skip in bad_boxes:
        _skip(annotations, images_by_id, skip, summary)
    if on_image:
        on_image(summary.crowds + len(bad_boxes))

    def load(image: _Image) -> tuple[list[int], list[Crop], list[Skip]]:
        pixels = read_image(resolve_under(img_root, image.record.get('file_name')))
        _check_size(image.record, pixels)
        places, skips = _part_beside(annotations, image.places, pixels)
        return places, engine.make_crops(pixels, _boxes_xyxy(annotations, places)), skips

    # file order, so that a disk reads forward
    todo = [
        _Image(record, by_image[key]) for key, record in images_by_id.items() if key in by_image
    ]
    prepared = _prefetch(todo, load, num_threads)

    def readable() -> Iterator[tuple[tuple[int, ...], list[Crop]]]:
        for image, future in zip(todo, prepared, strict=True):
            try:
                places, crops, skips = future.result()
                summary.images += 1
            except (OSError, ValueError) as error:
                places, crops = [], []
                skips = [Skip(i, annotations[i].get('id'), str(error)) for i in image.places]
            for skip in skips:
                _skip(annotations, images_by_id, skip, summary)
            if on_image and skips:
                on_image(len(skips))
            if places:
                yield tuple(places), crops

    for places, masks in engine.stream(readable()):
        for place, mask in zip(places, masks, strict=True):
            summary.empty += _write(annotations[place], mask)
        summary.masks += len(masks)
        if on_image:
            on_image(len(masks))
    summary.skips.sort(key=lambda skip: skip.annotation_index)
    return summary


def _prefetch(items: list, load: Callable, num_threads: int) -> Iterator[Future]:
    """Futures of `load(item)` in order, a few images ahead of the reader."""
    with ThreadPoolExecutor(num_threads) as pool:
        ahead: deque[Future] = deque()
        for item in items:
            ahead.append(pool.submit(load, item))
            if len(ahead) > 2 * num_threads:
                yield ahead.popleft()
        while ahead:
            yield ahead.popleft()


def _boxes_xyxy(annotations: list[dict], places: list[int]) -> np.ndarray:
    boxes = np.array([annotations[place]['bbox'] for place in places], dtype=np.float64)
    boxes = boxes.reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    return boxes


def _check_size(record: dict, pixels: np.ndarray) -> None:
    height, width = pixels.shape[:2]
    # an image without a size in its record is taken as it is
    stated = record.get('width') or width, record.get('height') or height
    if stated != (width, height):
        raise ValueError(
            f'{record["file_name"]} is {width} x {height} pixels but its record says '
            f'{stated[0]} x {stated[1]}; boxes and image would not fit each other'
        )


def _part_beside(
    annotations: list[dict], places: list[int], pixels: np.ndarray
) -> tuple[list[int], list[Skip]]:
    """Part boxes that meet the image from those beside it.

    Where a record has no size, its pixels tell.
    """
    size = dict(height=pixels.shape[0], width=pixels.shape[1])
    problems = {
        place: box_problem(annotations[place], {annotations[place]['image_id']: size})
        for place in places
    }
    skips = [
        Skip(place, annotations[place].get('id'), problem)
        for place, problem in problems.items()
        if problem
    ]
    return [place for place, problem in problems.items() if not problem], skips


def _write(annotation: dict, mask: PseudoMask) -> bool:
    """Put a mask into its annotation; True when it was empty and the box stands in for it."""
    annotation['mal_quality'] = round(mask.quality, 4)
    annotation['segmentation'], annotation['area'] = mask.rle, mask.area
    annotation.pop('mal_skipped', None)
    annotation.pop('mal_flag', None)
    if mask.area:
        return False
    region, top, left = fill_box(mask.box, tuple(mask.rle['size']))
    annotation['segmentation'] = encode_region(region, top, left, tuple(mask.rle['size']))
    annotation['area'] = int(region.sum())
    annotation['mal_quality'] = 0.0
    annotation['mal_flag'] = 'empty_mask'
    return True


def fill_box(box_xyxy: np.ndarray, image_hw: tuple[int, int]) -> tuple[np.ndarray, int, int]:
    """The box itself as a mask.

    Args:
        box_xyxy: (4,) image pixels.
        image_hw: height and width of the image.

    Returns:
        (h, w) bool region, its first row and column; at least one pixel when the box meets the
        image.
    """
    height, width = image_hw
    left, top = max(int(box_xyxy[0]), 0), max(int(box_xyxy[1]), 0)
    right, bottom = min(int(np.ceil(box_xyxy[2])), width), min(int(np.ceil(box_xyxy[3])), height)
    return np.ones((max(bottom - top, 0), max(right - left, 0)), dtype=bool), top, left


def _skip(annotations: list[dict], images_by_id: dict, skip: Skip, summary: Summary) -> None:
    summary.skips.append(skip)
    annotation = annotations[skip.annotation_index]
    if not isinstance(annotation, dict):
        return
    annotation['mal_skipped'] = skip.reason
    if annotation.get('segmentation'):
        return
    image_id = annotation.get('image_id')
    record = images_by_id.get(image_id, {}) if isinstance(image_id, Hashable) else {}
    size = record.get('height'), record.get('width')
    image_hw = size if all(isinstance(n, int) and n > 0 for n in size) else (1, 1)
    annotation['segmentation'] = encode_region(np.zeros((0, 0), dtype=bool), 0, 0, image_hw)
    annotation['area'] = 0
