"""What mmdet takes from panopticapi, where that is missing.

mmdet reads panoptic PNG files and measures panoptic quality with panopticapi, which PyPI has only
as a copy for numpy 1 (`pip install git+https://github.com/cocodataset/panopticapi.git`). It needs
five names of it; these stand in for them, after arXiv 1801.00868 and COCO's panoptic format.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.machinery import ModuleSpec
from importlib.util import find_spec, module_from_spec
from typing import Any

import numpy as np

VOID = 0  # id of pixels without a segment
OFFSET = 256**3  # above all ids


def provide_panopticapi() -> bool:
    """Put a `panopticapi` in place if there is none.

    Has to run before `mmdet.evaluation` is imported, which looks only once.

    Returns:
        Whether that was necessary.
    """
    if 'panopticapi' in sys.modules or find_spec('panopticapi') is not None:
        return False
    contents: dict[str, dict[str, Any]] = {
        'panopticapi': {},
        'panopticapi.utils': dict(rgb2id=rgb2id, id2rgb=id2rgb),
        'panopticapi.evaluation': dict(OFFSET=OFFSET, VOID=VOID, PQStat=PQStat),
    }
    for name, content in contents.items():
        spec = ModuleSpec(name, loader=None, is_package=name == 'panopticapi')
        sys.modules[name] = module = module_from_spec(spec)
        vars(module).update(content)
    return True


def rgb2id(color: np.ndarray) -> np.ndarray:
    """Colours (..., 3) uint8 of a panoptic PNG -> segment ids (...) int32."""
    red, green, blue = np.moveaxis(np.asarray(color, dtype=np.int32), -1, 0)
    return red + 256 * green + 256**2 * blue


def id2rgb(ids: np.ndarray) -> np.ndarray:
    """Inverse of `rgb2id`: segment ids (...) -> colours (..., 3) uint8."""
    ids = np.asarray(ids)
    return np.stack([ids // 256**place % 256 for place in range(3)], axis=-1).astype(np.uint8)


@dataclass
class ClassStat:
    """Counts of one class: summed IoU of matches, matches, false and missed segments."""

    iou: float = 0.0
    tp: int = 0
    fp: int = 0
    fn: int = 0

    def quality(self) -> dict[str, float]:
        """Panoptic, segmentation and recognition quality, 0 to 1; 0 of an absent class."""
        segments = self.tp + 0.5 * self.fp + 0.5 * self.fn
        if not segments:
            return dict(pq=0.0, sq=0.0, rq=0.0)
        sq = self.iou / self.tp if self.tp else 0.0
        return dict(pq=self.iou / segments, sq=sq, rq=self.tp / segments)


class PQStat:
    """Counts of all classes; statistics of several images add up."""

    def __init__(self) -> None:
        self.classes: defaultdict[int, ClassStat] = defaultdict(ClassStat)

    def __getitem__(self, category: int) -> ClassStat:
        return self.classes[category]

    def __iadd__(self, other: PQStat) -> PQStat:
        for category, theirs in other.classes.items():
            ours = self.classes[category]
            for name, value in vars(theirs).items():
                setattr(ours, name, getattr(ours, name) + value)
        return self

    def pq_average(
        self, categories: Mapping[int, Mapping], isthing: bool | None
    ) -> tuple[dict[str, float], dict[int, dict[str, float]]]:
        """Mean qualities of things (`isthing`), stuff (False) or all (None), and of each class.

        The mean is over the `n` classes that occur in the ground truth or the predictions.
        """
        chosen = [
            each
            for each, category in categories.items()
            if isthing is None or bool(category['isthing']) == isthing
        ]
        of_class = {each: self.classes[each].quality() for each in chosen}
        present = [
            of_class[each]
            for each in chosen
            if self.classes[each].tp + self.classes[each].fp + self.classes[each].fn
        ]
        mean = {
            name: sum(each[name] for each in present) / max(len(present), 1)
            for name in ('pq', 'sq', 'rq')
        }
        return {**mean, 'n': len(present)}, of_class
