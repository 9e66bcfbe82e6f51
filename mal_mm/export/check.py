"""Whether an exported labeler draws what the labeler draws."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import numpy as np
import torch
from torch import nn

from mal_mm_runtime import OnnxLabeler

from ..apis import MaskLabeler
from ..formats.coco import read_coco
from ..formats.paths import resolve_under
from ..labeling.image_io import read_image
from ..labeling.plan import make_plan
from ..models.encoders import find_cached_encoders
from ..samples.shapes import draw_scene

# the most by which logits may differ, and the least mean IoU of the masks
MAX_DIFFERENCE = 1e-3
# logits are compared up to here: beyond, their probability is within 0.0004 of 0 or 1, which
# float32 resolves no finer than the limit
_MAX_LOGIT = 8.0
MIN_IOU = 0.999


@dataclass(frozen=True)
class CheckResult:
    """How far an exported labeler and its original agree.

    Attributes:
        num_boxes: compared.
        difference: the largest of logits in [-8, 8], on the same crops.
        iou: mean IoU of the masks of both.
        worst_iou: the least.
    """

    num_boxes: int
    difference: float
    iou: float
    worst_iou: float

    @property
    def good(self) -> bool:
        """Whether both limits are kept."""
        return self.difference <= MAX_DIFFERENCE and self.iou >= MIN_IOU

    def __str__(self) -> str:
        return (
            f'{self.num_boxes} boxes: logits differ by at most {self.difference:.1e}, masks have '
            f'IoU {self.iou:.4f} (least {self.worst_iou:.4f})'
        )


def check_export(
    labeler: MaskLabeler,
    path: str | Path,
    images: Iterable[tuple[np.ndarray, np.ndarray]],
    max_boxes: int = 64,
) -> CheckResult:
    """Label with both and compare.

    Args:
        labeler: the original. It computes in fp32 for once, and keeps no features as half floats,
            since the export does not.
        path: of its export.
        images: (H, W, 3) uint8 RGB and (n, 4) boxes xyxy of each.
        max_boxes: no more than these are compared.

    Raises:
        ValueError: there is no box.
    """
    exported, engine = OnnxLabeler(path), labeler.engine
    differences: list[float] = []
    ious: list[float] = []
    with _full_precision(labeler.model):
        for image, boxes in images:
            boxes = boxes[: max_boxes - len(ious)]
            if not len(boxes):
                break
            crops = exported.engine.make_crops(image, boxes)
            differences.append(_difference(labeler, exported, crops))
            found = exported.engine.label(crops)
            ious += _ious(found, engine.label(engine.make_crops(image, boxes)))
    if not ious:
        raise ValueError('there is no box to compare the export with')
    return CheckResult(len(ious), float(max(differences)), float(np.mean(ious)), float(min(ious)))


def drawn_boxes(size: int = 320) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Images of drawn things (H, W, 3) and their boxes (n, 4) xyxy, as many as are taken."""
    for index in count():
        image, instances = draw_scene(size, 0, 'train', index)
        boxes = []
        for _, mask in instances:
            rows, columns = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
            boxes.append((columns[0], rows[0], columns[-1] + 1, rows[-1] + 1))
        yield image, np.array(boxes, dtype=np.float64)


def boxes_of_file(ann: Path, img_root: Path) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The same out of a COCO-style file.

    Raises:
        AnnotationError: the file cannot be used.
        OSError: an image cannot be read.
    """
    data = read_coco(ann)
    plan = make_plan(data, data['annotations'], ann)
    for number in np.unique(plan.image_indices).tolist():
        image = read_image(resolve_under(img_root, plan.file_names[number]))
        yield image, plan.boxes_xyxy[plan.image_indices == number]


@contextmanager
def _full_precision(model: nn.Module) -> Iterator[None]:
    caches = [each for each in find_cached_encoders(model) if each.enabled]
    precision = getattr(model, 'precision', None)
    try:
        for cache in caches:
            cache.enabled = False
        model.precision = 'fp32'
        yield
    finally:
        model.precision = precision
        for cache in caches:
            cache.enabled = True


@torch.inference_mode()
def _difference(labeler: MaskLabeler, exported: OnnxLabeler, crops: list) -> float:
    engine, model = labeler.engine, labeler.model
    pixels = np.stack([crop.pixels for crop in crops])
    boxes = np.stack([crop.crop_box for crop in crops])
    sides = np.stack([crop.box[2:] - crop.box[:2] for crop in crops])
    areas = sides.prod(1).astype(np.float32)
    device = model.data_preprocessor.device
    images = model.data_preprocessor.normalise(
        torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous().to(device)
    )
    expected = model.predict_maps(
        images,
        torch.from_numpy(boxes).to(device),
        torch.from_numpy(areas),
        engine.network,
        engine.flip,
        engine.refine,
    )
    found = exported.engine.logits(pixels, boxes, areas)
    pair = (each.clip(-_MAX_LOGIT, _MAX_LOGIT) for each in (found, expected.cpu().numpy()))
    return float(np.abs(np.subtract(*pair)).max())


def _ious(found: list, expected: list) -> list[float]:
    """Of each pair; 1 where both are empty."""
    pairs = [(a.mask, b.mask) for a, b in zip(found, expected, strict=True)]
    return [(a & b).sum() / (a | b).sum() if (a | b).any() else 1.0 for a, b in pairs]
