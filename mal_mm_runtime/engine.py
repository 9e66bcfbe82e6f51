"""MaskEngine: images and boxes -> masks, whatever looks at the crops.

What `mal_mm`'s LabelingEngine (torch) and `OnnxLabeler` (ONNX Runtime) have in common.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from numbers import Real
from typing import Any

import numpy as np

from .box_clip import RELEASED, clip_to_box
from .crop import Crop, Drawing, average_drawings
from .hole_carving import carve_holes_on_crop
from .overlaps import OVERLAPS, Claim, resolve_overlaps
from .windows import PADDINGS, SIZE_BOUNDS, box_to_crop, clip_boxes, expand_fixed

# crop pixels in one pass of the network on a CPU: 4 crops of 512 x 512
_CPU_PIXELS = 2**20


class MaskEngine:
    """Cut crops, have them drawn, and make masks of the drawings.

    Source: released behaviour: every side expanded by 0.3 of its half, wrap-round, probabilities
    resized to the window's pixels, then the threshold.

    Args:
        crop_size: side of the crops in pixels.
        mask_threshold: a pixel belongs to the mask above this probability (released 0.1); or one
            each for small, medium and large boxes (area below 32^2, 96^2 image px^2).
        margin: expansion of every side, in halves of the box side (released 0.3); of several the
            probabilities are averaged.
        padding: what lies outside the image, see `windows.cut_window`.
        batch_size: crops that are drawn together.
        carve_holes: cut out what looks like the surroundings, see `hole_carving`.
        overlaps: 'keep', or 'centre': pixels that several instances of an image claim go to one
            of them, see `overlaps.resolve_overlaps`.
        box_tolerance: masks are cut off so many image pixels beyond their box; 'released' reaches
            up to one pixel beyond it on the right and below, as the authors' do.

    Raises:
        ValueError: an argument outside its range.
    """

    def __init__(
        self,
        crop_size: int = 512,
        mask_threshold: float | Sequence[float] = 0.1,
        margin: float | Sequence[float] = 0.3,
        padding: str = 'wrap',
        batch_size: int = 32,
        carve_holes: bool = False,
        overlaps: str = 'keep',
        box_tolerance: float | str = 0.0,
    ) -> None:
        for name, value, known in (
            ('padding', padding, PADDINGS),
            ('overlaps', overlaps, OVERLAPS),
        ):
            if value not in known:
                raise ValueError(f'`{name}` must be one of {known}, got {value!r}')
        if box_tolerance != RELEASED and not (
            isinstance(box_tolerance, Real) and 0 <= box_tolerance < np.inf
        ):
            raise ValueError(
                f"`box_tolerance` must be a number of pixels >= 0 or '{RELEASED}', "
                f'got {box_tolerance!r}'
            )
        thresholds, margins = np.atleast_1d(mask_threshold), np.atleast_1d(margin)
        if (
            thresholds.shape not in ((1,), (3,))
            or not ((thresholds >= 0) & (thresholds < 1)).all()
        ):
            raise ValueError(
                '`mask_threshold` must be in [0, 1), one for all or three for small, medium and '
                f'large boxes, got {mask_threshold}'
            )
        if not margins.size or (margins < 0).any():
            raise ValueError(f'`margin` must be >= 0, got {margin}')
        if batch_size < 1:
            raise ValueError(f'`batch_size` must be at least 1, got {batch_size}')
        self.crop_size = crop_size
        self.mask_threshold = mask_threshold
        self.margin = margin
        self.padding = padding
        self.batch_size = batch_size
        self.carve_holes = carve_holes
        self.overlaps = overlaps
        self.box_tolerance = box_tolerance
        self._thresholds = np.broadcast_to(thresholds, 3).astype(np.float32)
        self._margins = margins.tolist()

    # -- what differs -------------------------------------------------------------------------

    def cut(self, image: np.ndarray, window: np.ndarray) -> np.ndarray:
        """(H, W, 3) uint8 RGB, (4,) window -> (S, S, 3) crop."""
        raise NotImplementedError

    def draw(
        self, crops: list[Crop], on_looked: Callable[[list[Crop]], None] | None = None
    ) -> list[Drawing]:
        """What the labeler says about one batch of crops; their further views are left out.

        Args:
            crops: the batch.
            on_looked: called with those that the network has seen, after each pass.
        """
        raise NotImplementedError

    def encode(self, region: np.ndarray, drawing: Drawing, crop: Crop) -> Any:
        """The result for a box, from the (h, w) bool mask on the drawing's pixels."""
        raise NotImplementedError

    # -- what is shared -----------------------------------------------------------------------

    def make_crops(self, image: np.ndarray, boxes_xyxy: np.ndarray) -> list[Crop]:
        """Cut an image's boxes out. Safe to run in threads.

        Args:
            image: (H, W, 3) uint8 RGB.
            boxes_xyxy: (n, 4) image pixels, unrounded.
        """
        boxes = np.asarray(boxes_xyxy, dtype=np.float64).reshape(-1, 4)
        image_hw = image.shape[:2]
        visible = clip_boxes(boxes, image_hw)
        # the box mask zeroes all else, so that it has to let through what is kept in the end
        tolerance = 0.0 if self.box_tolerance == RELEASED else float(self.box_tolerance)
        loose = boxes + tolerance * np.array([-1, -1, 1, 1])
        views = [
            [
                Crop(
                    self.cut(image, window),
                    window,
                    box_to_crop(reach, window, image_hw, self.crop_size),
                    box,
                    image_hw,
                )
                for box, reach, window in zip(
                    boxes, loose, expand_fixed(visible, margin), strict=True
                )
            ]
            for margin in self._margins
        ]
        if len(views) == 1:
            return views[0]
        return [replace(crop, views=tuple(others)) for crop, *others in zip(*views, strict=True)]

    def label(
        self,
        crops: list[Crop],
        image_keys: Sequence[Hashable] | None = None,
        on_drawn: Callable[[int], None] | None = None,
    ) -> list:
        """Masks of any number of crops, in their order.

        They are batched by size, so that few batches need the decoder at more than one scale.

        Args:
            crops: what `make_crops` gives, of one image or of several.
            image_keys: which image each crop is of, for `overlaps`; None: all of one.
            on_drawn: called after each pass of the network with the number of its crops.
        """
        if self.overlaps != 'keep':
            keys = image_keys or [None] * len(crops)
            return self._label_without_overlaps(crops, keys, on_drawn)
        # masks are encoded while the network looks at the next batch
        with ThreadPoolExecutor(1) as pool:
            finished = [
                pool.submit(self._finish, drawn, crops)
                for drawn in self._draw_all(crops, on_drawn)
            ]
            masks = dict(pair for each in finished for pair in each.result())
            return [masks[n] for n in range(len(crops))]

    def _label_without_overlaps(
        self,
        crops: list[Crop],
        image_keys: Sequence[Hashable],
        on_drawn: Callable[[int], None] | None,
    ) -> list:
        drawings = dict(pair for drawn in self._draw_all(crops, on_drawn) for pair in drawn)
        of_image: dict[Hashable, list[int]] = {}
        for n, key in enumerate(image_keys):
            of_image.setdefault(key, []).append(n)
        masks: dict[int, Any] = {}
        for members in of_image.values():
            claims = [
                Claim(self._cut(drawings[n], crops[n]), *drawings[n].corner, crops[n].box)
                for n in members
            ]
            regions = resolve_overlaps(claims, crops[members[0]].image_hw)
            for n, region in zip(members, regions, strict=True):
                masks[n] = self.encode(region, drawings[n], crops[n])
        return [masks[n] for n in range(len(crops))]

    def _draw_all(
        self, crops: list[Crop], on_drawn: Callable[[int], None] | None
    ) -> Iterator[list[tuple[int, Drawing]]]:
        """(number of the crop, what is said about it), batch by batch; views averaged."""
        views = [(n, view) for n, crop in enumerate(crops) for view in (crop, *crop.views)]
        views.sort(key=lambda item: (item[1].box[2:] - item[1].box[:2]).prod())
        waiting: dict[int, list[Drawing]] = {n: [] for n in range(len(crops))}
        first_views = {id(crop) for crop in crops}

        def on_looked(looked: list[Crop]) -> None:
            if on_drawn:
                on_drawn(sum(id(view) in first_views for view in looked))

        for start in range(0, len(views), self.batch_size):
            batch = views[start : start + self.batch_size]
            drawings = self.draw([view for _, view in batch], on_looked)
            ready = []
            for (n, _), drawing in zip(batch, drawings, strict=True):
                waiting[n].append(drawing)
                if len(waiting[n]) > len(crops[n].views):
                    ready.append((n, average_drawings(waiting.pop(n))))
            yield ready

    def _passes(self, number: int) -> list[slice]:
        """A batch of so many crops in the pieces that the network looks at."""
        # more at once gain nothing on a CPU and leave its cache: twice the time
        size = max(_CPU_PIXELS // self.crop_size**2, 1) if self._on_cpu() else number
        return [slice(start, start + size) for start in range(0, number, size)]

    def _on_cpu(self) -> bool:
        return True

    def _map(self, function: Callable, *each: Iterable) -> list:
        """`map` by as many threads as the labeler uses, which rests meanwhile."""
        threads = self._threads()
        if threads == 1:
            return list(map(function, *each))
        with ThreadPoolExecutor(threads) as pool:
            return list(pool.map(function, *each))

    def _threads(self) -> int:
        return 1

    def _thresholds_of(self, box_areas: np.ndarray | float) -> np.ndarray:
        small, medium = SIZE_BOUNDS
        # a bound belongs to the bin above
        return self._thresholds[np.add(box_areas >= small, box_areas >= medium, dtype=np.int64)]

    def _cut(self, drawing: Drawing, crop: Crop) -> np.ndarray:
        x0, y0, x1, y1 = crop.box.tolist()
        region = drawing.probs > self._thresholds_of((x1 - x0) * (y1 - y0))
        if self.carve_holes:
            region = carve_holes_on_crop(region, drawing.corner, crop)
        if self.box_tolerance == RELEASED:
            return region
        return clip_to_box(region, drawing.corner, crop.box, float(self.box_tolerance))

    def _finish(
        self, drawn: list[tuple[int, Drawing]], crops: list[Crop]
    ) -> list[tuple[int, Any]]:
        return [(n, self.encode(self._cut(each, crops[n]), each, crops[n])) for n, each in drawn]
