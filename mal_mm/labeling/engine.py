"""LabelingEngine: images and boxes -> masks, crops batched across images."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from numbers import Real

import numpy as np
import torch

from ..formats.boxes import SIZE_BOUNDS
from ..formats.region_rle import encode_region
from ..geometry import (
    PADDINGS,
    box_to_crop,
    clip_boxes,
    crop_window,
    draw_box_masks,
    expand_fixed,
)
from ..instant import colour_stages
from ..models.mask_auto_labeler import MaskAutoLabeler
from ..models.mask_prediction import NETWORKS, refinement_name
from ..models.untrained_labeler import UntrainedLabeler
from .box_clip import RELEASED, clip_to_box
from .crop import Crop, Drawing, PseudoMask, average_drawings
from .hole_carving import carve_holes_on_crop
from .overlaps import OVERLAPS, Claim, resolve_overlaps
from .quality import boxes_on_maps, instant_quality, mask_quality
from .window_sampling import sample_windows

# crop pixels in one pass on a CPU: 4 crops of 512 x 512
_CPU_PIXELS = 2**20


class LabelingEngine:
    """Draw masks with a labeler, trained or instant.

    Source: released behaviour: every side expanded by 0.3 of its half, wrap-round, logits of the
    chosen networks and flips averaged, probabilities resized to the window's pixels, then the
    threshold.

    Args:
        labeler: the model, on its device, in evaluation mode.
        network: 'teacher', 'student' or 'both'.
        flip: also look at the mirrored crop.
        refine: 'none' (released), 'mean-field' (average the probabilities with the labels of the
            CRF loss) or 'instant' (the stages of `mal_mm.instant`: walk between tokens,
            box-consistent threshold, GrabCut, colour field).
        crop_size: side of the crops in pixels.
        mask_threshold: a pixel belongs to the mask above this probability (released 0.1); or one
            each for small, medium and large boxes (area below 32^2, 96^2 image px^2).
        margin: expansion of every side, in halves of the box side (released 0.3); of several the
            probabilities are averaged.
        padding: what lies outside the image, see `geometry.crop_window`.
        batch_size: crops in one pass.
        amp: half precision on a GPU.
        exact_crops: resize crops with Pillow as the authors do, pixel for pixel, in four times the
            time of the kernel that training samples are cut with.
        carve_holes: cut out what looks like the surroundings, see `labeling.hole_carving`.
        overlaps: 'keep', or 'centre': pixels that several instances of an image claim go to one
            of them, see `overlaps.resolve_overlaps`.
        box_tolerance: masks are cut off so many image pixels beyond their box; 'released' reaches
            up to one pixel beyond it on the right and below, as the authors' do. None: 'released'
            with `exact_crops`, else 0.

    Raises:
        ValueError: an argument outside its range.
    """

    # what the masks depend on beside the weights
    OPTIONS = (
        'network',
        'flip',
        'refine',
        'crop_size',
        'mask_threshold',
        'margin',
        'padding',
        'batch_size',
        'exact_crops',
        'carve_holes',
        'overlaps',
        'box_tolerance',
    )

    def __init__(
        self,
        labeler: MaskAutoLabeler | UntrainedLabeler,
        network: str = 'teacher',
        flip: bool = False,
        refine: str | bool = 'none',
        crop_size: int = 512,
        mask_threshold: float | Sequence[float] = 0.1,
        margin: float | Sequence[float] = 0.3,
        padding: str = 'wrap',
        batch_size: int = 32,
        amp: bool = False,
        exact_crops: bool = False,
        carve_holes: bool = False,
        overlaps: str = 'keep',
        box_tolerance: float | str | None = None,
    ) -> None:
        refine = refinement_name(refine)
        if box_tolerance is None:
            box_tolerance = RELEASED if exact_crops else 0.0
        for name, value, known in (
            ('network', network, NETWORKS),
            ('refine', refine, labeler.refinements),
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
        self.labeler = labeler
        self.network = network
        self.flip = flip
        self.refine = refine
        self.crop_size = crop_size
        self.mask_threshold = mask_threshold
        self.margin = margin
        self.padding = padding
        self.batch_size = batch_size
        self.amp = amp
        self.exact_crops = exact_crops
        self.carve_holes = carve_holes
        self.overlaps = overlaps
        self.box_tolerance = box_tolerance
        self._thresholds = np.broadcast_to(thresholds, 3).astype(np.float32)
        self._margins = margins.tolist()

    def make_crops(self, image: np.ndarray, boxes_xyxy: np.ndarray) -> list[Crop]:
        """Cut an image's boxes out. Pure numpy and Pillow: safe to run in threads.

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
                    crop_window(
                        image, window, self.crop_size, self.padding, exact=self.exact_crops
                    ),
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
        return [replace(crop, views=tuple(others)) for crop, *others in zip(*views, strict=True)]

    def label(
        self,
        crops: list[Crop],
        image_keys: Sequence[Hashable] | None = None,
        on_drawn: Callable[[int], None] | None = None,
    ) -> list[PseudoMask]:
        """Masks of any number of crops, in their order.

        They are batched by size, so that few batches need the decoder at more than one scale.

        Args:
            crops: what `make_crops` gives, of one image or of several.
            image_keys: which image each crop is of, for `overlaps`; None: all of one.
            on_drawn: called after each batch with the number of its crops.
        """
        if self.overlaps != 'keep':
            keys = image_keys or [None] * len(crops)
            return self._label_without_overlaps(crops, keys, on_drawn)
        # masks are encoded while the network looks at the next batch
        with ThreadPoolExecutor(1) as pool:
            masks = {
                n: pool.submit(self._finish, drawing, crops[n])
                for n, drawing in self._draw_all(crops, on_drawn)
            }
            return [masks[n].result() for n in range(len(crops))]

    def _label_without_overlaps(
        self,
        crops: list[Crop],
        image_keys: Sequence[Hashable],
        on_drawn: Callable[[int], None] | None,
    ) -> list[PseudoMask]:
        drawings = dict(self._draw_all(crops, on_drawn))
        of_image: dict[Hashable, list[int]] = {}
        for n, key in enumerate(image_keys):
            of_image.setdefault(key, []).append(n)
        masks: dict[int, PseudoMask] = {}
        for members in of_image.values():
            claims = [
                Claim(self._cut(drawings[n], crops[n]), *drawings[n].corner, crops[n].box)
                for n in members
            ]
            regions = resolve_overlaps(claims, crops[members[0]].image_hw)
            for n, region in zip(members, regions, strict=True):
                masks[n] = self._encode(region, drawings[n], crops[n])
        return [masks[n] for n in range(len(crops))]

    def _draw_all(
        self, crops: list[Crop], on_drawn: Callable[[int], None] | None
    ) -> Iterator[tuple[int, Drawing]]:
        """(number of the crop, what is said about it), as they get ready; views averaged."""
        views = [(n, view) for n, crop in enumerate(crops) for view in (crop, *crop.views)]
        views.sort(key=lambda item: (item[1].box[2:] - item[1].box[:2]).prod())
        waiting: dict[int, list[Drawing]] = {n: [] for n in range(len(crops))}
        batch_size = self._batch_size()
        for start in range(0, len(views), batch_size):
            batch = views[start : start + batch_size]
            for (n, _), drawing in zip(batch, self.draw([v for _, v in batch]), strict=True):
                waiting[n].append(drawing)
                if len(waiting[n]) > len(crops[n].views):
                    yield n, average_drawings(waiting.pop(n))
            if on_drawn:
                on_drawn(sum(view is crops[n] for n, view in batch))

    def _batch_size(self) -> int:
        if self.labeler.data_preprocessor.device.type == 'cpu':
            # more at once gain nothing on a CPU and leave its cache: twice the time
            return max(min(self.batch_size, _CPU_PIXELS // self.crop_size**2), 1)
        return self.batch_size

    @torch.inference_mode()
    def draw(self, crops: list[Crop]) -> list[Drawing]:
        """What the labeler says about one batch of crops; their further views are left out."""
        preprocessor, S = self.labeler.data_preprocessor, self.crop_size
        device = preprocessor.device
        # planes first: the quick kernel stores them so, and they are copied as they lie
        pixels = [torch.from_numpy(crop.pixels).permute(2, 0, 1) for crop in crops]
        if device.type != 'cpu':
            pixels = torch.stack(pixels).to(device, non_blocking=True)
        images = preprocessor.normalise(pixels)
        boxes, windows, crop_boxes = (
            np.stack([getattr(crop, name) for crop in crops])
            for name in ('box', 'window', 'crop_box')
        )
        image_hws = [crop.image_hw for crop in crops]
        boxes_on_device = torch.from_numpy(crop_boxes).to(device, non_blocking=True)
        areas = (boxes[:, 2:] - boxes[:, :2]).prod(1)
        box_areas = torch.from_numpy(areas.astype(np.float32))
        instant = self.refine == 'instant'
        # the rounded boxes of the released code are up to a pixel larger
        exact = torch.from_numpy(boxes_on_maps(boxes, windows, image_hws, S)).to(device)
        with torch.autocast(device.type, enabled=self.amp and device.type == 'cuda'):
            maps = self.labeler.predict_maps(
                images,
                exact if instant or self.labeler.exact_boxes else boxes_on_device,
                box_areas,
                self.network,
                self.flip,
                self.refine,
            )
        drawn = None
        if instant:
            whole = np.array([(0, 0, width, height) for height, width in image_hws])
            in_image = torch.from_numpy(boxes_on_maps(whole, windows, image_hws, S)).to(device)
            drawn = colour_stages(
                maps.sigmoid_(), exact, in_image, [crop.pixels for crop in crops], self._map
            )
            maps = drawn.probs
        s = maps.shape[-1]
        are_logits = self.refine == 'none'
        on_windows = sample_windows(maps, crop_boxes, windows, image_hws, S, are_logits)
        probs = (maps.sigmoid_() if are_logits else maps) * draw_box_masks(boxes_on_device, S, s)
        map_boxes = exact * (s / S)
        thresholds = torch.from_numpy(self._thresholds_of(areas)).to(device)
        qualities = mask_quality(probs, images, map_boxes, thresholds)
        if drawn is not None:
            qualities = instant_quality(qualities, drawn)
        # one transfer for the batch instead of one per mask; regions are stored by columns
        regions = [region.mT for region, _, _ in on_windows]
        flat = torch.cat([region.flatten() for region in regions]).cpu().numpy()
        bounds = np.cumsum([region.numel() for region in regions])[:-1]
        return [
            Drawing(part.reshape(region.shape).T, (top, left), quality)
            for part, region, (_, top, left), quality in zip(
                np.split(flat, bounds), regions, on_windows, qualities.cpu().tolist(), strict=True
            )
        ]

    def _map(self, function: Callable, *each: Iterable) -> list:
        """`map` by as many threads as torch uses, which rests meanwhile."""
        threads = torch.get_num_threads()
        if threads == 1:
            return list(map(function, *each))
        with ThreadPoolExecutor(threads) as pool:
            return list(pool.map(function, *each))

    def _thresholds_of(self, box_areas: np.ndarray) -> np.ndarray:
        return self._thresholds[np.digitize(box_areas, SIZE_BOUNDS)]

    def _cut(self, drawing: Drawing, crop: Crop) -> np.ndarray:
        region = drawing.probs > self._thresholds_of((crop.box[2:] - crop.box[:2]).prod())
        if self.carve_holes:
            region = carve_holes_on_crop(region, drawing.corner, crop)
        if self.box_tolerance == RELEASED:
            return region
        return clip_to_box(region, drawing.corner, crop.box, float(self.box_tolerance))

    def _finish(self, drawing: Drawing, crop: Crop) -> PseudoMask:
        return self._encode(self._cut(drawing, crop), drawing, crop)

    def _encode(self, region: np.ndarray, drawing: Drawing, crop: Crop) -> PseudoMask:
        area = int(np.count_nonzero(region))
        return PseudoMask(
            rle=encode_region(region, *drawing.corner, crop.image_hw),
            area=area,
            quality=drawing.quality if area else 0.0,
            box=crop.box,
        )
