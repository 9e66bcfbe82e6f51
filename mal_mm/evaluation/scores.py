"""Means over instances, classes and sizes, for the masks and for the floors."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np

KINDS = ('masks', 'box_fill', 'inscribed_ellipse')
SIZES = ('small', 'medium', 'large')
SIZE_BOUNDS = (32**2, 96**2)  # of the box in square image pixels; a bound belongs to the bin above
IOU_LEVELS = (0.5, 0.75, 0.9)


class Scores:
    """Collects one row per instance: class, box area, IoU of mask and floors, quality.

    Args:
        categories: category id -> category of the ground truth; classes that turn up in the
            instances only are added.
    """

    def __init__(self, categories: Mapping[Hashable, Mapping[str, Any]]) -> None:
        self.names = {key: str(entry.get('name', key)) for key, entry in categories.items()}
        # Category ids are arbitrary: number the classes, never index anything by the id itself.
        self.row_of = {key: row for row, key in enumerate(self.names)}
        self._class_rows: list[int] = []
        self._columns: dict[str, list[np.ndarray]] = {
            name: [] for name in (*KINDS, 'box_areas', 'qualities')
        }

    @property
    def count(self) -> int:
        """How many instances there are."""
        return len(self._class_rows)

    def add(
        self,
        category_ids: Sequence[Hashable],
        *,
        ious: Mapping[str, np.ndarray],
        box_areas: Sequence[float],
        qualities: Sequence[float],
    ) -> None:
        """Take in N instances.

        Args:
            category_ids: N ids as the file has them.
            ious: each of KINDS -> (N,) IoU in [0, 1].
            box_areas: N areas in square image pixels.
            qualities: N predicted qualities; NaN where there is none.
        """
        for category_id in category_ids:
            if category_id not in self.row_of:
                self.names[category_id] = f'unknown category {category_id!r}'
                self.row_of[category_id] = len(self.row_of)
            self._class_rows.append(self.row_of[category_id])
        columns = {**ious, 'box_areas': box_areas, 'qualities': qualities}
        for name, column in self._columns.items():
            column.append(np.asarray(columns[name], dtype=np.float64))

    def summary(self) -> dict[str, Any]:
        """What `evaluate` returns about scores; see there."""
        rows = np.array(self._class_rows, dtype=np.int64)
        bins = np.digitize(self._column('box_areas'), SIZE_BOUNDS)
        ious = {kind: self._column(kind) for kind in KINDS}
        instances = np.bincount(rows, minlength=len(self.names))
        class_means = {
            kind: np.bincount(rows, weights=ious[kind], minlength=len(self.names))
            / np.maximum(instances, 1)
            for kind in KINDS
        }
        result: dict[str, Any] = {}
        for kind in KINDS:
            result[kind] = {
                'instances': len(rows),
                'mean_iou': _mean(ious[kind]),
                'class_mean_iou': _mean(class_means[kind][instances > 0]),
                'size': {
                    size: {
                        'instances': int((bins == i).sum()),
                        'mean_iou': _mean(ious[kind][bins == i]),
                    }
                    for i, size in enumerate(SIZES)
                },
                'share_above': {str(v): _mean(ious[kind] >= v) for v in IOU_LEVELS},
            }
        result['per_class'] = [
            {
                'id': category_id,
                'name': self.names[category_id],
                'instances': int(instances[row]),
                **{
                    kind: float(class_means[kind][row]) if instances[row] else None
                    for kind in KINDS
                },
            }
            for category_id, row in self.row_of.items()
        ]
        qualities = self._column('qualities')
        known = np.isfinite(qualities)
        result['quality_spearman'] = _spearman(qualities[known], ious['masks'][known])
        return result

    def _column(self, name: str) -> np.ndarray:
        return np.concatenate([np.empty(0), *self._columns[name]])


def _mean(values: np.ndarray) -> float | None:
    return float(values.mean()) if values.size else None


def _spearman(a: np.ndarray, b: np.ndarray) -> float | None:
    """Rank correlation; None for fewer than two values or where all are equal."""
    ranks_a, ranks_b = _ranks(a), _ranks(b)
    if np.ptp(ranks_a) == 0 or np.ptp(ranks_b) == 0:
        return None
    return float(np.corrcoef(ranks_a, ranks_b)[0, 1])


def _ranks(values: np.ndarray) -> np.ndarray:
    if not values.size:
        return np.zeros(1)
    _, places, how_often = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(how_often)
    return (last - (how_often - 1) / 2)[places]  # equal values share their mean rank
