"""Do a file's boxes look like boxes in pixels?"""

from __future__ import annotations

from typing import Any

import numpy as np

# of the boxes; a few lie a little outside in any file
_NOTABLE = 0.01


def survey_boxes(boxes_xyxy: np.ndarray, sizes_wh: np.ndarray) -> list[str]:
    """Say what share of boxes is smaller than a pixel or reaches beyond its image, and why.

    Args:
        boxes_xyxy: (n, 4) image pixels, as x0, y0, x0 + width, y0 + height of the file.
        sizes_wh: (n, 2) width and height of each box's image; NaN where it is not known.

    Returns:
        Sentences; none where at most 1 % of the boxes are so.
    """
    boxes = np.asarray(boxes_xyxy, dtype=np.float64).reshape(-1, 4)
    sizes = np.asarray(sizes_wh, dtype=np.float64).reshape(-1, 2)
    if not len(boxes):
        return []
    sides = boxes[:, 2:] - boxes[:, :2]
    small = (sides < 1).any(axis=1)
    # a pixel of rounding is no mistake
    beyond = (boxes[:, :2] < -1).any(axis=1) | (boxes[:, 2:] > sizes + 1).any(axis=1)
    said = []
    if small.mean() > _NOTABLE:
        said.append(
            f'{_percent(small)} of the boxes are narrower or lower than a pixel'
            + (
                ': they look like shares of the image (from 0 to 1); multiply them by its width '
                'and height'
                if np.median(boxes.max(axis=1)) <= 1.5
                else ''
            )
        )
    if beyond.mean() > _NOTABLE:
        corners = (sides > boxes[:, :2]) & ((sides <= sizes + 1) | np.isnan(sizes))
        said.append(
            f'{_percent(beyond)} of the boxes reach beyond their image'
            + (
                ': they look like x0, y0, x1, y1, but `bbox` is x, y, width, height'
                if corners.all(axis=1).mean() > 0.9
                else '; compare the boxes with the images'
            )
        )
    return said


def _percent(which: Any) -> str:
    share = 100 * which.mean()
    return f'{share:.0f} %' if share >= 1.5 else f'{share:.1f} %'
