"""From the network's maps to the pixels of each box, without the crops in between.

`mal_mm_runtime.sampling` says how; here with torch, on the device.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from mal_mm_runtime.sampling import sample_window


def sample_windows(
    maps: Tensor,
    crop_boxes: np.ndarray,
    windows: np.ndarray,
    image_hws: Sequence[tuple[int, int]],
    crop_size: int,
    are_logits: bool = True,
) -> list[tuple[Tensor, int, int]]:
    """Probabilities of each box on the pixels of its image.

    Equal (to rounding) to a bilinear resize of the maps to the crop, sigmoid, box mask, and
    `geometry.paste_probs`, but for zeros around the box, which are left out.

    Args:
        maps: (N, s, s) float32.
        crop_boxes: (N, 4) whole crop pixels, see `geometry.box_to_crop`.
        windows: (N, 4) int windows of the crops.
        image_hws: height and width of each crop's image.
        crop_size: side S of the crops.
        are_logits: the maps are logits; otherwise probabilities, and the sigmoid is left out.

    Returns:
        For each crop the (h, w) probabilities, stored by columns, and the image row and column of
        the first one. h or w is 0 where the box mask is empty.
    """
    rows = zip(maps, crop_boxes, windows, image_hws, strict=True)
    activation = torch.sigmoid_ if are_logits else None
    return [sample_window(*row, crop_size, _resize, activation) for row in rows]


def _resize(x: Tensor, places: np.ndarray, weights: np.ndarray) -> Tensor:
    """Weighted sums of two rows each: (length, m) -> (n, m)."""
    places, weights = (torch.from_numpy(values).to(x.device) for values in (places, weights))
    # contiguous: embedding_bag takes three times as long on a transposed view
    return F.embedding_bag(places, x.contiguous(), per_sample_weights=weights, mode='sum')
