"""LabelingEngine: images and boxes -> masks, crops batched across images."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from mal_mm_runtime.box_clip import RELEASED
from mal_mm_runtime.engine import MaskEngine
from mal_mm_runtime.stages import SIZE
from mal_mm_runtime.windows import boxes_on_maps

from ..formats.region_rle import encode_region
from ..geometry import crop_window, draw_box_masks
from ..instant import colour_stages
from ..models.mask_auto_labeler import MaskAutoLabeler
from ..models.mask_prediction import NETWORKS, refinement_name
from ..models.untrained_labeler import UntrainedLabeler
from ..precision import check_precision
from .crop import Crop, Drawing, PseudoMask
from .quality import instant_quality, mask_quality, to_grid
from .window_sampling import sample_windows


class LabelingEngine(MaskEngine):
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
        batch_size: crops that are drawn together; on a GPU also those of one pass.
        precision: of the networks, one of `mal_mm.precision.PRECISIONS`; 'auto' is fp32 with
            `exact_crops`. None: what the labeler says.
        exact_crops: resize crops with Pillow as the authors do, pixel for pixel, in four times the
            time of the kernel that training samples are cut with.
        carve_holes: cut out what looks like the surroundings, see `mal_mm_runtime.hole_carving`.
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
        'precision',
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
        precision: str | None = None,
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
        ):
            if value not in known:
                raise ValueError(f'`{name}` must be one of {known}, got {value!r}')
        super().__init__(
            crop_size,
            mask_threshold,
            margin,
            padding,
            batch_size,
            carve_holes,
            overlaps,
            box_tolerance,
        )
        if precision is not None:
            exact = precision == 'auto' and exact_crops
            labeler.precision = check_precision('fp32' if exact else precision)
        self.labeler = labeler
        self.network = network
        self.flip = flip
        self.refine = refine
        self.precision = labeler.precision
        self.exact_crops = exact_crops

    def cut(self, image: np.ndarray, window: np.ndarray) -> np.ndarray:
        """A window's crop; pure numpy, Pillow and torch's own kernel."""
        return crop_window(image, window, self.crop_size, self.padding, exact=self.exact_crops)

    def _on_cpu(self) -> bool:
        return self.labeler.data_preprocessor.device.type == 'cpu'

    @torch.inference_mode()
    def draw(
        self, crops: list[Crop], on_looked: Callable[[list[Crop]], None] | None = None
    ) -> list[Drawing]:
        """What the labeler says about one batch of crops; their further views are left out."""
        S, device = self.crop_size, self.labeler.data_preprocessor.device
        boxes, windows, crop_boxes = (
            np.stack([getattr(crop, name) for crop in crops])
            for name in ('box', 'window', 'crop_box')
        )
        image_hws = [crop.image_hw for crop in crops]
        areas = (boxes[:, 2:] - boxes[:, :2]).prod(1)
        # the rounded boxes of the released code are up to a pixel larger
        exact = torch.from_numpy(boxes_on_maps(boxes, windows, image_hws, S)).to(device)
        rounded = torch.from_numpy(crop_boxes).to(device, non_blocking=True)
        instant = self.refine == 'instant'
        seen = exact if instant or self.labeler.exact_boxes else rounded
        passes = self._passes(len(crops))
        # one for all passes on a CPU: fresh memory takes as long as what is written into it
        buffer = torch.empty((passes[0].stop, 3, S, S)) if self._on_cpu() else None
        looks = []
        for part in passes:
            looks.append(self._look(crops[part], seen[part], areas[part], buffer))
            if on_looked:
                on_looked(crops[part])
        maps, bytes_looked_at = (torch.cat(each) for each in zip(*looks, strict=True))
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
        probs = (maps.sigmoid_() if are_logits else maps) * draw_box_masks(rounded, S, s)
        thresholds = torch.from_numpy(self._thresholds_of(areas)).to(device)
        colours = self.labeler.data_preprocessor.normalise(bytes_looked_at)
        qualities = mask_quality(probs, colours, exact * (s / S), thresholds)
        if drawn is not None:
            qualities = instant_quality(qualities, drawn)
        return [
            Drawing(region, (top, left), quality)
            for (region, top, left), quality in zip(
                on_windows, qualities.cpu().tolist(), strict=True
            )
        ]

    def _look(
        self, crops: list[Crop], seen: Tensor, areas: np.ndarray, buffer: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """One pass of the network: (N, s, s) maps, (N, 3, g, g) bytes that the quality reads."""
        preprocessor = self.labeler.data_preprocessor
        device = preprocessor.device
        # planes first: crops are stored so, and they are copied as they lie
        pixels = [torch.from_numpy(crop.pixels).permute(2, 0, 1) for crop in crops]
        if device.type != 'cpu':
            pixels = torch.stack(pixels).to(device, non_blocking=True)
        images = preprocessor.normalise(pixels, None if buffer is None else buffer[: len(crops)])
        maps = self.labeler.predict_maps(
            images,
            seen,
            torch.from_numpy(areas.astype(np.float32)),
            self.network,
            self.flip,
            self.refine,
        )
        # the colour stages have maps of their own
        size = SIZE if self.refine == 'instant' else maps.shape[-1]
        if device.type == 'cpu':
            return maps, torch.stack([to_grid(each, size) for each in pixels])
        return maps, to_grid(pixels, size)

    def _threads(self) -> int:
        return torch.get_num_threads()

    def encode(self, region: np.ndarray, drawing: Drawing, crop: Crop) -> PseudoMask:
        area = int(np.count_nonzero(region))
        return PseudoMask(
            rle=encode_region(region, *drawing.corner, crop.image_hw),
            area=area,
            quality=drawing.quality if area else 0.0,
            box=crop.box,
        )
