"""Evaluation results as plain text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

ROWS = (('masks', 'masks'), ('box fill', 'box_fill'), ('inscribed ellipse', 'inscribed_ellipse'))


def format_summary(result: Mapping[str, Any]) -> str:
    """Masks and floors side by side, and below them what was counted and left out.

    Args:
        result: what `evaluate` gives.

    Returns:
        Lines without a closing line break.
    """
    sizes = {size: entry['instances'] for size, entry in result['masks']['size'].items()}
    header = [
        '',
        'instances',
        'mIoU',
        'class-mean',
        *(f'{size} ({count})' for size, count in sizes.items()),
        'IoU>=0.75',
    ]
    rows = [
        [
            name,
            str(result[kind]['instances']),
            _number(result[kind]['mean_iou']),
            _number(result[kind]['class_mean_iou']),
            *(_number(result[kind]['size'][size]['mean_iou']) for size in sizes),
            _number(result[kind]['share_above']['0.75']),
        ]
        for name, kind in ROWS
    ]
    lines = [_table(header, rows)]
    spearman = result['quality_spearman']
    if spearman is not None:
        lines.append(f'mal_quality against IoU: Spearman {spearman:.3f}')
    lines += _remarks(result)
    return '\n'.join(lines)


def format_class_table(result: Mapping[str, Any]) -> str:
    """One line per class that has instances, the best mask IoU first.

    Args:
        result: what `evaluate` gives.

    Returns:
        Lines without a closing line break.
    """
    classes = [entry for entry in result['per_class'] if entry['instances']]
    classes.sort(key=lambda entry: -entry['masks'])
    rows = [
        [
            entry['name'],
            str(entry['id']),
            str(entry['instances']),
            *(_number(entry[kind]) for _, kind in ROWS),
        ]
        for entry in classes
    ]
    return _table(['class', 'id', 'instances', *(name for name, _ in ROWS)], rows)


def _remarks(result: Mapping[str, Any]) -> list[str]:
    counts = result['counts']
    remarks = []
    if counts['missing']:
        remarks.append(f'{counts["missing"]} without a predicted mask count as IoU 0')
    if counts['left_out']:
        first = result['left_out'][0]
        remarks.append(
            f'{counts["left_out"]} of the ground truth left out, the first: annotation '
            f'{first["annotation_id"]!r}: {first["reason"]}'
        )
    if counts['unmatched_predictions']:
        remarks.append(
            f'{counts["unmatched_predictions"]} predictions are not in the ground truth'
        )
    if counts['boxes_from_masks']:
        remarks.append(f'{counts["boxes_from_masks"]} had no usable box, the mask gave it')
    return remarks


def _number(value: float | None) -> str:
    return '-' if value is None else f'{value:.3f}'


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(row[i]) for row in (header, *rows)) for i in range(len(header))]
    lines = [
        '  '.join(
            cell.rjust(width) if i else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in (header, *rows)
    ]
    lines.insert(1, '-' * max(map(len, lines)))
    return '\n'.join(lines)
