"""OnnxLabeler: masks from boxes with an exported labeler."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .crop import Crop, Drawing
from .engine import MaskEngine
from .image_file import decode_image
from .inputs import checked_boxes
from .maps import draw_box_masks, sigmoid
from .quality import instant_quality, mask_quality
from .quick_resize import resize_quick
from .rle import encode_region
from .sampling import sample_windows
from .stages import colour_stages
from .windows import boxes_on_maps, cut_window, resize_exact

# what the exported file says about itself, as JSON under this name
METADATA = 'mal_mm'
# version of that
FORMAT = 1


@dataclass(frozen=True, repr=False)
class Mask:
    """A mask drawn from a box.

    Attributes:
        region: (h, w) bool, the part of the image in which the mask lies.
        corner: image row and column of its first pixel.
        image_hw: height and width of the image.
        quality: estimate in [0, 1], orders masks by how well they fit.
        box: (4,) xyxy, the box as given.
    """

    region: np.ndarray
    corner: tuple[int, int]
    image_hw: tuple[int, int]
    quality: float
    box: np.ndarray

    def __repr__(self) -> str:
        height, width = self.image_hw
        return f'Mask({self.area} px of {width} x {height}, quality {self.quality:.2f})'

    @property
    def area(self) -> int:
        """In image pixels; 0 when the labeler marked nothing."""
        return int(np.count_nonzero(self.region))

    @property
    def mask(self) -> np.ndarray:
        """(H, W) bool, the whole image."""
        whole = np.zeros(self.image_hw, dtype=bool)
        (top, left), (h, w) = self.corner, self.region.shape
        whole[top : top + h, left : left + w] = self.region
        return whole

    @property
    def rle(self) -> dict[str, Any]:
        """Compressed COCO RLE, `counts` a str."""
        return encode_region(self.region, *self.corner, self.image_hw)


class OnnxLabeler:
    """A labeler that `mal-mm export` has written.

    Args:
        path: of the ONNX file.
        providers: of ONNX Runtime, such as 'CUDAExecutionProvider'; None: the CPU.
        threads: of the processor; None: all cores.
        batch_size: crops in one pass; None: 32, and fewer on a CPU.

    Raises:
        ValueError: the file was not written by `mal-mm export`, or by a newer one.
        OSError: it cannot be read.
    """

    def __init__(
        self,
        path: str | Path,
        providers: Sequence[str] | None = None,
        threads: int | None = None,
        batch_size: int | None = None,
    ) -> None:
        self.engine = OnnxEngine(path, providers, threads, batch_size)
        self.info = self.engine.info

    def label(self, image: str | Path | np.ndarray, boxes_xyxy: np.ndarray) -> list[Mask]:
        """Draw one mask per box.

        Args:
            image: path, or (H, W, 3) uint8 RGB.
            boxes_xyxy: (n, 4) image pixels, x1 > x0 and y1 > y0.

        Returns:
            One Mask per box, in order.

        Raises:
            ValueError: the image or a box is not as described.
            OSError: the image file cannot be read.
        """
        if isinstance(image, (str, Path)):
            image = read_image(image)
        boxes = checked_boxes(image, boxes_xyxy)
        return self.engine.label(self.engine.make_crops(image, boxes))


def read_image(path: str | Path) -> np.ndarray:
    """An image file as (H, W, 3) uint8 RGB.

    Raises:
        OSError: missing, or no image; names the file.
    """
    try:
        return decode_image(Path(path).read_bytes())
    except ValueError as error:
        raise OSError(f'{path}: cannot be decoded ({error})') from error


class OnnxEngine(MaskEngine):
    """`mal_mm`'s LabelingEngine for an exported labeler; arguments as those of OnnxLabeler."""

    def __init__(
        self,
        path: str | Path,
        providers: Sequence[str] | None = None,
        threads: int | None = None,
        batch_size: int | None = None,
    ) -> None:
        import onnxruntime  # here: mal_mm imports other parts of this package without it

        path = Path(path)
        if not path.is_file():
            raise FileNotFoundError(f'{path}: no such file; `mal-mm export` writes it')
        self.threads = threads or os.cpu_count() or 1
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self.threads
        try:
            self.session = onnxruntime.InferenceSession(
                str(path), options, providers=list(providers or ['CPUExecutionProvider'])
            )
        except Exception as error:  # its classes are not public
            reason = (str(error).splitlines() or [''])[0]
            raise ValueError(f'{path}: ONNX Runtime cannot load it ({reason})') from error
        self.info = _info(self.session.get_modelmeta().custom_metadata_map, path)
        super().__init__(**self.info['engine'], batch_size=batch_size or 32)
        self.resize = resize_exact if self.info['exact_crops'] else resize_quick
        self.inputs = {each.name for each in self.session.get_inputs()}
        self.instant = self.info['refine'] == 'instant'

    def cut(self, image: np.ndarray, window: np.ndarray) -> np.ndarray:
        """A window's crop."""
        return self.resize(cut_window(image, window, self.padding), self.crop_size)

    def logits(
        self, crops: np.ndarray, crop_boxes: np.ndarray, box_areas: np.ndarray
    ) -> np.ndarray:
        """What the graph says.

        Args:
            crops: (N, S, S, 3) uint8 RGB.
            crop_boxes: (N, 4) float32 crop pixels.
            box_areas: (N,) float32 image px^2.

        Returns:
            (N, s, s) float32.
        """
        feeds = dict(crops=crops, crop_boxes=crop_boxes, box_areas=box_areas)
        chosen = {name: value for name, value in feeds.items() if name in self.inputs}
        return self.session.run(None, chosen)[0]

    def draw(
        self, crops: list[Crop], on_looked: Callable[[list[Crop]], None] | None = None
    ) -> list[Drawing]:
        """What the labeler says about one batch of crops; their further views are left out."""
        S = self.crop_size
        boxes, windows, crop_boxes = (
            np.stack([getattr(crop, name) for crop in crops])
            for name in ('box', 'window', 'crop_box')
        )
        image_hws = [crop.image_hw for crop in crops]
        pixels = [crop.pixels for crop in crops]
        areas = (boxes[:, 2:] - boxes[:, :2]).prod(1)
        exact = boxes_on_maps(boxes, windows, image_hws, S)
        seen = exact if self.info['exact_boxes'] else crop_boxes
        looks = []
        for part in self._passes(len(crops)):
            box_areas = areas[part].astype(np.float32)
            looks.append(self.logits(np.stack(pixels[part]), seen[part], box_areas))
            if on_looked:
                on_looked(crops[part])
        maps = np.concatenate(looks)
        drawn = None
        if self.instant:
            whole = np.array([(0, 0, width, height) for height, width in image_hws])
            in_image = boxes_on_maps(whole, windows, image_hws, S)
            drawn = colour_stages(sigmoid(maps), exact, in_image, pixels, self._map)
            maps = drawn.probs
        s = maps.shape[-1]
        on_windows = sample_windows(maps, crop_boxes, windows, image_hws, S, not self.instant)
        probs = (maps if self.instant else sigmoid(maps)) * draw_box_masks(crop_boxes, S, s)
        mean_std = self.info['mean'], self.info['std']
        thresholds = self._thresholds_of(areas)
        qualities = mask_quality(probs, pixels, mean_std, exact * np.float32(s / S), thresholds)
        if drawn is not None:
            qualities = instant_quality(qualities, drawn)
        return [
            Drawing(region, (top, left), float(quality))
            for (region, top, left), quality in zip(on_windows, qualities, strict=True)
        ]

    def encode(self, region: np.ndarray, drawing: Drawing, crop: Crop) -> Mask:
        """The mask on its part of the image."""
        quality = drawing.quality if region.any() else 0.0
        return Mask(region, drawing.corner, crop.image_hw, quality, crop.box)

    def _on_cpu(self) -> bool:
        return self.session.get_providers()[0] == 'CPUExecutionProvider'

    def _threads(self) -> int:
        return self.threads


def _info(metadata: dict[str, str], path: Path) -> dict[str, Any]:
    try:
        info = json.loads(metadata[METADATA])
        version = info['format']
    except (KeyError, ValueError, TypeError):
        raise ValueError(
            f'{path}: is an ONNX file of another program; write one with `mal-mm export`'
        ) from None
    if version != FORMAT:
        raise ValueError(
            f'{path}: has format {version}, this mal_mm_runtime reads {FORMAT}; export it with '
            'the same version of mal-mm'
        )
    return info
