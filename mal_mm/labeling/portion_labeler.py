"""PortionLabeler: portions of a plan -> what changes in their annotations."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mal_mm_runtime.box_clip import fill_box

from ..formats import mal_fields
from ..formats.image_size import check_found_size, mask_size
from ..formats.mask_check import NONE, mask_problem
from ..formats.paths import resolve_under
from ..formats.polygons import mask_to_polygons, polygon_iou
from ..formats.region_rle import encode_region
from ..formats.rle import decode_tight
from .crop import Crop, PseudoMask
from .engine import LabelingEngine
from .image_io import ImageStamp, read_stamped
from .plan import Plan
from .prefetch import prefetch

# place of an annotation in the file, and the fields that it gets
Change = tuple[int, dict[str, Any]]


class Labelled(NamedTuple):
    """A portion that is done.

    Attributes:
        changes: of its annotations: `segmentation`, `area`, `mal_quality` and perhaps `mal_flag`,
            or `mal_skipped` with the reason.
        images: number of an image in the plan -> what was read; those that cannot be read have
            none.
    """

    changes: list[Change]
    images: dict[int, ImageStamp]


@dataclass(frozen=True)
class Output:
    """How masks are written.

    Attributes:
        min_quality: masks below it are marked `ignore`, which training leaves out.
        polygon_tolerance: write polygons that stray so many pixels from the outline at most,
            instead of RLE; None for RLE.
    """

    min_quality: float = 0.0
    polygon_tolerance: float | None = None


@dataclass(frozen=True)
class _Piece:
    """The boxes [start, stop) of a plan, all of one image."""

    image: int
    start: int
    stop: int


class PortionLabeler:
    """Label portions in order; images are read and cut by threads while the network works.

    Args:
        engine: draws the masks.
        plan: what there is to label.
        img_root: folder that the file names are relative to; they may not leave it.
        num_threads: threads that read and cut images.
        output: how masks are written.
        on_drawn: called with the number of boxes that were drawn since.
    """

    def __init__(
        self,
        engine: LabelingEngine,
        plan: Plan,
        img_root: str | Path,
        num_threads: int = 2,
        output: Output | None = None,
        on_drawn: Callable[[int], None] | None = None,
    ) -> None:
        self.engine = engine
        self.plan = plan
        self.img_root = img_root
        self.num_threads = num_threads
        self.output = output or Output()
        self.on_drawn = on_drawn

    def run(self, portions: Iterable[tuple[int, int]]) -> Iterator[Labelled]:
        """Label the portions, in order."""
        portions = list(portions)
        pieces = (piece for portion in portions for piece in self._pieces(*portion))
        # closed at the end, which ends its threads
        with closing(prefetch(pieces, self._load, self.num_threads, self._name)) as loaded:
            for start, stop in portions:
                yield self._label(start, stop, loaded)

    def _label(self, start: int, stop: int, loaded: Iterator) -> Labelled:
        """One portion, whose pieces come next."""
        changes: list[Change] = []
        crops: list[tuple[int, Crop]] = []
        image_keys: list[int] = []
        stamps: dict[int, ImageStamp] = {}
        at = start
        while at < stop:
            piece, (made, stamp) = next(loaded)
            if stamp is not None:
                stamps[piece.image] = stamp
            places = self.plan.places[piece.start : piece.stop].tolist()
            for place, crop in zip(places, made, strict=True):
                if isinstance(crop, str):
                    changes.append((place, mal_fields.skipped(crop)))
                else:
                    crops.append((place, crop))
                    image_keys.append(piece.image)
            at = piece.stop
        masks = self.engine.label([crop for _, crop in crops], image_keys, self.on_drawn)
        changes += [
            (place, mask_fields(mask, self.output))
            for (place, _), mask in zip(crops, masks, strict=True)
        ]
        return Labelled(changes, stamps)

    def _pieces(self, start: int, stop: int) -> Iterator[_Piece]:
        images = self.plan.image_indices[start:stop]
        for begin in np.flatnonzero(np.diff(images, prepend=-1)).tolist():
            end = begin + int(np.searchsorted(images[begin:], images[begin], side='right'))
            yield _Piece(int(images[begin]), start + begin, start + end)

    def _name(self, piece: _Piece) -> str:
        return f'image {self.plan.file_names[piece.image]!r} under {self.img_root}'

    def _load(self, piece: _Piece) -> tuple[list[Crop | str], ImageStamp | None]:
        """A crop for each box, or why there is none; and what was read."""
        boxes = self.plan.boxes_xyxy[piece.start : piece.stop]
        try:
            name = self.plan.file_names[piece.image]
            pixels, stamp = read_stamped(resolve_under(self.img_root, name))
            height, width = pixels.shape[:2]
            check_found_size(name, self.plan.sizes_wh[piece.image], (width, height))
        except (OSError, ValueError) as error:
            return [str(error)] * len(boxes), None
        # where a record has no size, its pixels tell which boxes lie beside the image
        meets = (boxes[:, 0] < width) & (boxes[:, 1] < height)
        crops = iter(self.engine.make_crops(pixels, boxes[meets]))
        made = [
            next(crops)
            if inside
            else f'bbox {_xywh(box)} lies wholly outside its {width} x {height} image'
            for inside, box in zip(meets, boxes, strict=True)
        ]
        return made, stamp


def _xywh(box: np.ndarray) -> list[float]:
    return [*box[:2].tolist(), *(box[2:] - box[:2]).tolist()]


def mask_fields(mask: PseudoMask, output: Output) -> dict[str, Any]:
    """What an annotation gets from its mask; the box stands in for an empty one, and says so."""
    if not mask.area:
        image_hw = tuple(mask.rle['size'])
        region, top, left = fill_box(mask.box, image_hw)
        return mal_fields.drawn(
            encode_region(region, top, left, image_hw),
            int(region.sum()),
            quality=0.0,
            flag=mal_fields.EMPTY_MASK,
            ignored=output.min_quality > 0,
        )
    segmentation: dict | list = mask.rle
    iou = None
    if output.polygon_tolerance is not None:
        columns, left, top = decode_tight(mask.rle)
        segmentation = mask_to_polygons(columns.T > 0, top, left, output.polygon_tolerance)
        iou = polygon_iou(segmentation, mask.rle)
    poor = mask.quality < output.min_quality
    flag = mal_fields.LOW_QUALITY if poor else None
    return mal_fields.drawn(segmentation, mask.area, mask.quality, flag, poor, iou)


def apply_fields(
    annotation: dict[str, Any], fields: dict[str, Any], images_by_id: Mapping[Hashable, dict]
) -> None:
    """Write the fields into their annotation; marks of an earlier run go.

    One that could not be labelled keeps its own mask if it has one, otherwise gets an empty one
    with area 0, which training leaves out.

    Args:
        annotation: changed in place.
        fields: see `PortionLabeler.run`.
        images_by_id: see `index_images`; its image may be missing there.
    """
    mal_fields.clear(annotation)
    annotation.update(fields)
    image_id = annotation.get('image_id')
    image = images_by_id.get(image_id, {}) if isinstance(image_id, Hashable) else {}
    if mal_fields.skip_reason(fields) and mask_problem(annotation, image) == NONE:
        empty = np.zeros((0, 0), dtype=bool)
        annotation['segmentation'] = encode_region(empty, 0, 0, mask_size(image))
        annotation['area'] = 0
