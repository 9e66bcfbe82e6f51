"""Means over instances, classes and sizes, for the masks and for the floors."""

from __future__ import annotations

import itertools
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np

from mal_mm.formats.boxes import SIZE_BOUNDS

MEASURES = ('iou', 'boundary_iou')
KINDS = ('masks', 'box_fill', 'inscribed_ellipse')
SIZES = ('small', 'medium', 'large')
IOU_LEVELS = (0.5, 0.75, 0.9)


class Scores:
    """Collects one row per instance: class, box area, IoUs of mask and floors, quality.

    Args:
        categories: category id -> category of the ground truth; classes that turn up in the
            instances only are added.
    """

    def __init__(self, categories: Mapping[Hashable, Mapping[str, Any]]) -> None:
        self.names = {key: str(entry.get('name', key)) for key, entry in categories.items()}
        # Category ids are arbitrary: number the classes, never index anything by the id itself.
        self.row_of = {key: row for row, key in enumerate(self.names)}
        self._class_rows: list[int] = []
        keys = [*itertools.product(MEASURES, KINDS), 'box_areas', 'qualities']
        self._columns: dict[Hashable, list[np.ndarray]] = {key: [] for key in keys}

    @property
    def count(self) -> int:
        """How many instances there are."""
        return len(self._class_rows)

    def add(
        self,
        category_ids: Sequence[Hashable],
        *,
        ious: Mapping[str, np.ndarray],
        boundary_ious: Mapping[str, np.ndarray],
        box_areas: Sequence[float],
        qualities: Sequence[float],
    ) -> None:
        """Take in N instances.

        Args:
            category_ids: N ids as the file has them.
            ious: each of KINDS -> (N,) IoU in [0, 1].
            boundary_ious: likewise for the boundaries.
            box_areas: N areas in square image pixels.
            qualities: N predicted qualities; NaN where there is none.
        """
        for category_id in category_ids:
            if category_id not in self.row_of:
                self.names[category_id] = f'unknown category {category_id!r}'
                self.row_of[category_id] = len(self.row_of)
            self._class_rows.append(self.row_of[category_id])
        columns: dict[Hashable, Any] = {'box_areas': box_areas, 'qualities': qualities}
        for measure, values in zip(MEASURES, (ious, boundary_ious), strict=True):
            columns.update({(measure, kind): values[kind] for kind in KINDS})
        for key, column in self._columns.items():
            column.append(np.asarray(columns[key], dtype=np.float64))

    def summary(self) -> dict[str, Any]:
        """What `evaluate` returns about scores; see there."""
        rows = np.array(self._class_rows, dtype=np.int64)
        bins = np.digitize(self._column('box_areas'), SIZE_BOUNDS)
        instances = np.bincount(rows, minlength=len(self.names))
        values = {key: self._column(key) for key in itertools.product(MEASURES, KINDS)}
        class_means = {
            key: np.bincount(rows, weights=column, minlength=len(self.names))
            / np.maximum(instances, 1)
            for key, column in values.items()
        }
        result: dict[str, Any] = {}
        for kind in KINDS:
            ious, boundary_ious = (values[measure, kind] for measure in MEASURES)
            class_ious, class_boundary_ious = (
                class_means[measure, kind][instances > 0] for measure in MEASURES
            )
            result[kind] = {
                'instances': len(rows),
                'mean_iou': _mean(ious),
                'boundary_iou': _mean(boundary_ious),
                'class_mean_iou': _mean(class_ious),
                'class_mean_boundary_iou': _mean(class_boundary_ious),
                'size': {
                    size: {
                        'instances': int((bins == i).sum()),
                        'mean_iou': _mean(ious[bins == i]),
                        'boundary_iou': _mean(boundary_ious[bins == i]),
                    }
                    for i, size in enumerate(SIZES)
                },
                'share_above': {str(v): _mean(ious >= v) for v in IOU_LEVELS},
            }

        def class_scores(measure: str, row: int) -> dict[str, float | None]:
            return {
                kind: float(class_means[measure, kind][row]) if instances[row] else None
                for kind in KINDS
            }

        result['per_class'] = [
            {
                'id': category_id,
                'name': self.names[category_id],
                'instances': int(instances[row]),
                **class_scores('iou', row),
                'boundary_iou': class_scores('boundary_iou', row),
            }
            for category_id, row in self.row_of.items()
        ]
        qualities = self._column('qualities')
        known = np.isfinite(qualities)
        result['quality_spearman'] = _spearman(qualities[known], values['iou', 'masks'][known])
        return result

    def _column(self, key: Hashable) -> np.ndarray:
        return np.concatenate([np.empty(0), *self._columns[key]])


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
